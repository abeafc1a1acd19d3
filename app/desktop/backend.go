// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/engine/watch"
	"github.com/preezm/preezm/peers"
)

// Node is what the window asks of a home; node.API fits.
type Node interface {
	About(ctx context.Context) (node.About, error)
	Invite(ctx context.Context, o node.InviteOptions) (node.Invite, error)
	Join(ctx context.Context, code string) (node.Member, error)
	Circle(ctx context.Context, probe bool) ([]node.Member, error)
	Put(ctx context.Context, o engine.PutOptions, progress func(engine.Progress)) (*engine.PutReport, error)
	Get(ctx context.Context, o engine.GetOptions, progress func(engine.Progress)) (*engine.GetReport, error)
	ListPages(ctx context.Context, o engine.ListOptions, page func([]engine.Entry) error) error
	Remove(ctx context.Context, names []engine.Path) (*engine.RemoveReport, error)
	Status(ctx context.Context, o engine.StatusOptions) (*engine.Status, error)
	ownerNode
	brandNode
	consentNode
	memberNode
	helperNode
	historyNode
	circleNode
	careNode
	deviceNode
	settingsNode
	keyNode
}

// keyNode is what is asked about the home's key and its owner's words.
type keyNode interface {
	Key(ctx context.Context) (node.KeyState, error)
	Rewrap(ctx context.Context, s node.Seal) (node.KeyState, error)
	Words(ctx context.Context, lang identity.Lang) ([]string, error)
	CheckWords(ctx context.Context, o node.WordsOrder) (node.KeyState, error)
	Sheet(ctx context.Context) (node.Sheet, error)
}

// historyNode is what the Files screen asks about the past.
type historyNode interface {
	Versions(ctx context.Context, path engine.Path) ([]engine.VersionInfo, error)
	Restore(ctx context.Context, o engine.RestoreOptions) (*engine.RestoreReport, error)
	Trash(ctx context.Context) ([]engine.Trashed, error)
	RestoreTrash(ctx context.Context, which []string) (*engine.RestoreReport, error)
	EmptyTrash(ctx context.Context, which []string) (*engine.RemoveReport, error)
}

// circleNode is what the Circle screen asks.
type circleNode interface {
	Net(ctx context.Context) (*node.NetReport, error)
	Paired(ctx context.Context, o node.PairedOrder) (node.Paired, error)
	Dismiss(ctx context.Context, device peers.DeviceID) (node.Paired, error)
	PlanRemoval(ctx context.Context, o node.RemovalOrder) (*node.Removal, error)
	RemoveMember(ctx context.Context, o node.RemovalOrder, progress func(engine.Progress)) (*node.Removal, error)
	SetRoles(ctx context.Context, o node.RolesOrder, progress func(engine.Progress)) (node.Member, error)
}

// careNode is what the Health screen asks.
type careNode interface {
	Repair(ctx context.Context, o node.RepairOrder, progress func(engine.Progress)) (*node.RepairReport, error)
	Audit(ctx context.Context, o node.AuditOrder, progress func(engine.Progress)) (*engine.AuditReport, error)
	Care(ctx context.Context) (*node.CareState, error)
	GiveCare(ctx context.Context, o node.CareOrder, progress func(engine.Progress)) (*node.CareState, error)
	TakeCare(ctx context.Context) (*node.CareState, error)
	RefuseCare(ctx context.Context, o node.CareRefusal) (*node.CareState, error)
	BackupState(ctx context.Context) (*node.BackupState, error)
	Retention(ctx context.Context) (engine.Retention, error)
	SetRetention(ctx context.Context, r engine.Retention) error
	Prune(ctx context.Context, o node.PruneOrder) (*engine.PruneReport, error)
}

// deviceNode is what is asked about the person's own machines.
type deviceNode interface {
	Devices(ctx context.Context) ([]node.Device, error)
	AddDevice(ctx context.Context) (node.NewDevice, error)
	PairingDevice(ctx context.Context) (node.DevicePairing, error)
	DecideDevice(ctx context.Context, d node.DeviceDecision) (node.Device, error)
	RemoveDevice(ctx context.Context, o node.DeviceRemoval) (node.DeviceRemoved, error)
	Conflicts(ctx context.Context) ([]engine.Conflict, error)
	Settle(ctx context.Context, o node.SettleOrder) (node.Settled, error)
}

// settingsNode is what the Settings screen asks.
type settingsNode interface {
	Limits(ctx context.Context) (node.LimitsView, error)
	SetLimits(ctx context.Context, o node.LimitsOrder) (node.LimitsView, error)
	Watch(ctx context.Context, f watch.Folder) (watch.State, error)
	Watched(ctx context.Context) ([]watch.State, error)
	Unwatch(ctx context.Context, dir string) (watch.State, error)
	UseServer(ctx context.Context, o node.ServerOrder) ([]string, error)
	PauseWatch(ctx context.Context, o node.PauseOrder) (watch.State, error)
}

// ownerNode is what the Access and Activity screens ask.
type ownerNode interface {
	Custodians(ctx context.Context) ([]node.Custodian, error)
	AddCustodian(ctx context.Context, who string) (node.Custodian, error)
	Grant(ctx context.Context, o node.GrantOrder) (*node.Granted, error)
	Grants(ctx context.Context) (*node.GrantList, error)
	Revoke(ctx context.Context, o node.RevokeOrder) (*grants.Info, error)
	Extend(ctx context.Context, o node.ExtendOrder) (*node.Granted, error)
	Refresh(ctx context.Context, id string) (*node.Granted, error)
	Ledger(ctx context.Context) (*node.LedgerView, error)
	VerifyLedger(ctx context.Context) ([]grants.Checked, error)
	Proof(ctx context.Context, id string) ([]byte, error)
}

// brandNode is what the Received screen asks.
type brandNode interface {
	BrandInit(ctx context.Context, o node.BrandOptions) (node.BrandInfo, error)
	Brand(ctx context.Context) (node.BrandInfo, error)
	Receive(ctx context.Context, ticket string) (node.Received, error)
	Received(ctx context.Context) ([]node.Received, error)
	OpenGrant(ctx context.Context, o node.OpenOrder, progress func(engine.Progress)) (*node.OpenReport, error)
	View(ctx context.Context, o node.ViewOrder) (node.View, error)
	EndView(ctx context.Context, token string) (node.View, error)
}

// consentNode is what is asked about companies' requests, on both sides.
type consentNode interface {
	TakeRequest(ctx context.Context, text string) (node.AskedRequest, error)
	Requests(ctx context.Context) ([]node.AskedRequest, error)
	AcceptRequest(ctx context.Context, o node.AcceptOrder) (*node.Accepted, error)
	RefuseRequest(ctx context.Context, o node.RefuseOrder) (node.AskedRequest, error)
	TakeCountersignature(ctx context.Context, text string) (node.AskedRequest, error)
	RequestReceipt(ctx context.Context, id string) ([]byte, error)
	BrandRequest(ctx context.Context, o node.RequestOrder) (node.SentRequest, error)
	BrandRequests(ctx context.Context) ([]node.SentRequest, error)
	BrandAnswer(ctx context.Context, text string) (node.SentRequest, error)
	BrandReceipt(ctx context.Context, id string) ([]byte, error)
}

// memberNode is what is asked about a company's desks.
type memberNode interface {
	InviteMember(ctx context.Context, role string) (node.MemberInvite, error)
	JoinBrand(ctx context.Context, code string) (node.BrandInfo, error)
	BrandMembers(ctx context.Context) ([]node.BrandMember, error)
	RevokeMember(ctx context.Context, who string) (node.BrandMember, error)
}

// helperNode is what is asked about helpers, on both sides.
type helperNode interface {
	Helpers(ctx context.Context) (node.HelperSet, error)
	AddHelpers(ctx context.Context, o node.HelperOrder) (node.HelperSet, error)
	RemoveHelpers(ctx context.Context, o node.HelperOrder) (node.HelperSet, error)
	HelperRequests(ctx context.Context) ([]node.HelperRequest, error)
	ApproveRequest(ctx context.Context, o node.ApproveOrder) (node.HelperRequest, error)
	VetoRequest(ctx context.Context, id string) (node.HelperRequest, error)
}

// Setup is what the Welcome screen asks for.
type Setup struct {
	Name  string // this machine, as the circle sees it
	Offer int64  // bytes kept for others

	// Master, when there is one, is what the person's 24 words gave: their
	// home is brought back from the circle. From leads to one of its machines;
	// empty: the local network is asked.
	Master *[32]byte
	From   string

	// Device, when it is not empty, is a code that another machine of this
	// person gave: this one becomes one more of theirs.
	Device string
}

// Showing shows the words that another machine shows too, by language.
type Showing func(other string, words map[string][]string)

// Host makes a home and finds or starts the node that serves it.
type Host interface {
	// Exists tells whether the home has been made.
	Exists() bool
	// Init makes the home, or brings it back. Show is called where another
	// machine has to agree.
	Init(ctx context.Context, s Setup, show Showing, progress func(engine.Progress)) error
	// ByHelpers brings the home of a person back whose words are lost, as far
	// as their helpers let it now; the same again goes on. Owner is the name
	// that the helpers know, invites are codes of theirs. Show is called with
	// the words of each helper that was joined.
	ByHelpers(ctx context.Context, s Setup, owner string, invites []string, show Showing, progress func(engine.Progress)) (*node.Help, error)
	// Open gives the running node, or starts one. Open may be called again
	// after a node was lost; the one before is closed.
	Open(ctx context.Context) (Node, error)
	// Unlock opens the owner's part of a locked home and gives the node anew.
	Unlock(ctx context.Context, passphrase string) (Node, error)
	// Lock shuts it and gives the node anew, which keeps for others.
	Lock(ctx context.Context) (Node, error)
	// Lost carries one error each time a node that Open gave ends by itself.
	Lost() <-chan error
	// Close stops what Open started and waits for it.
	Close() error
}
