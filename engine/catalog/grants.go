// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"github.com/preezm/preezm/peers"
)

// Brand is somebody who can be granted files.
type Brand struct {
	Root [32]byte
	Name string
	Card string
}

// Custodian is a device that decides for this owner.
type Custodian struct {
	Device     peers.DeviceID
	Name       string
	LogKey     [32]byte
	Generation uint32
	Appointed  int64 // Unix seconds; 0: it does not know yet
	Retired    int64 // since when it decides no more; 0: it does
}

// Granted is a version that a grant covers.
type Granted struct {
	File    [16]byte
	Version uint64
	Path    string
	Parts   []Part
}

// Grant is a grant as its owner keeps it.
type Grant struct {
	Hash       [32]byte
	ID         [16]byte
	Doc        []byte
	Seats      []peers.DeviceID
	Brand      [32]byte
	Ticket     string
	Revocation []byte // nil: not revoked
	Made       int64
	Files      []Granted
}

// Name gives the random name of a file in grants and the number of the version
// that consists of these parts. It makes both where they are new.
func (c *Catalog) Name(ctx context.Context, path string, parts []Part) (file [16]byte, version uint64, err error) {
	stamp := sha256.Sum256(encodeParts(parts))
	err = c.write(ctx, func(tx *sql.Tx) error {
		var id, old []byte
		err := tx.QueryRowContext(ctx, "SELECT file, version, stamp FROM names WHERE path = ?", []byte(path)).Scan(&id, &version, &old)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			rand.Read(file[:])
			version = 1
		case err != nil:
			return err
		case len(id) != len(file):
			return errors.New("a file's name is damaged in the catalog")
		default:
			copy(file[:], id)
			if bytes.Equal(old, stamp[:]) {
				return nil
			}
			version++
		}
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO names(path, file, version, stamp) VALUES(?,?,?,?)", []byte(path), file[:], version, stamp[:])
		return err
	})
	return file, version, err
}

// PutBrand remembers a brand's card.
func (c *Catalog) PutBrand(ctx context.Context, b Brand) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO brands(root, name, card, added) VALUES(?,?,?,?)
			ON CONFLICT(root) DO UPDATE SET name = excluded.name, card = excluded.card`, b.Root[:], b.Name, b.Card, c.now().Unix())
		return err
	})
}

// Brands lists the brands, by name.
func (c *Catalog) Brands(ctx context.Context) ([]Brand, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (b Brand, err error) {
		var root []byte
		err = rows.Scan(&root, &b.Name, &b.Card)
		copy(b.Root[:], root)
		return b, err
	}, "SELECT root, name, card FROM brands ORDER BY name")
}

// PutCustodian adds a custodian or replaces what is known of it.
func (c *Catalog) PutCustodian(ctx context.Context, k Custodian) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO custodians(device, name, log_key, generation, appointed, retired) VALUES(?,?,?,?,?,?)",
			k.Device[:], k.Name, k.LogKey[:], k.Generation, k.Appointed, k.Retired)
		return err
	})
}

// Custodians lists the custodians in the order of their devices, retired ones
// too: their logs go on telling of the grants that named them.
func (c *Catalog) Custodians(ctx context.Context) ([]Custodian, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (k Custodian, err error) {
		var dev, key []byte
		err = rows.Scan(&dev, &k.Name, &key, &k.Generation, &k.Appointed, &k.Retired)
		copy(k.Device[:], dev)
		copy(k.LogKey[:], key)
		return k, err
	}, "SELECT device, name, log_key, generation, appointed, retired FROM custodians ORDER BY device")
}

// AddGrant writes a grant down with its first package and plan, and holds its chunks
// until ReleaseGrant. ErrGone when one of them is not there any more.
func (c *Catalog) AddGrant(ctx context.Context, g *Grant, pkg []byte, plan Saying) error {
	return c.write(ctx, func(tx *sql.Tx) error { return addGrant(ctx, tx, g, pkg, plan) })
}

func addGrant(ctx context.Context, tx *sql.Tx, g *Grant, pkg []byte, plan Saying) error {
	seats := make([]byte, 0, 32*len(g.Seats))
	for _, s := range g.Seats {
		seats = append(seats, s[:]...)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO grants(hash, id, doc, seats, brand, ticket, revocation, made, released)
		VALUES(?,?,?,?,?,?,?,?,0)`, g.Hash[:], g.ID[:], g.Doc, seats, g.Brand[:], g.Ticket, []byte{}, g.Made)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO packages(grant_hash, seq, doc) VALUES(?,1,?)", g.Hash[:], pkg); err != nil {
		return err
	}
	refs := newRefCounter(ctx, tx)
	defer refs.close()
	for i := range g.Files {
		if err := insertGranted(ctx, tx, refs, g.Hash, &g.Files[i]); err != nil {
			return err
		}
	}
	return say(ctx, tx, plan.What, plan.Number, plan.Doc)
}

// RenewGrant adds a newer package to a grant: it covers these versions from
// now on, and those before are let go of.
func (c *Catalog) RenewGrant(ctx context.Context, grant [32]byte, seq uint64, pkg []byte, ticket string, files []Granted, plan Saying) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		if err := say(ctx, tx, plan.What, plan.Number, plan.Doc); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO packages(grant_hash, seq, doc) VALUES(?,?,?)", grant[:], seq, pkg); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, "UPDATE grants SET ticket = ? WHERE hash = ? AND released = 0", ticket, grant[:])
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(ErrGone, err)
		}
		old, err := collect(ctx, tx, scanGranted, grantedQuery, grant[:])
		if err != nil {
			return err
		}
		refs := newRefCounter(ctx, tx)
		defer refs.close()
		if _, err := tx.ExecContext(ctx, "DELETE FROM granted WHERE grant_hash = ?", grant[:]); err != nil {
			return err
		}
		// Add before dropping: a chunk in both must not touch zero.
		for i := range files {
			if err := insertGranted(ctx, tx, refs, grant, &files[i]); err != nil {
				return err
			}
		}
		for _, f := range old {
			if err := refs.drop(f.Parts); err != nil {
				return err
			}
		}
		return nil
	})
}

func insertGranted(ctx context.Context, tx *sql.Tx, refs *refCounter, grant [32]byte, f *Granted) error {
	if err := refs.add(f.Parts); err != nil {
		return fmt.Errorf("%q: %w", f.Path, err)
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO granted(grant_hash, file, version, path, parts) VALUES(?,?,?,?,?)",
		grant[:], f.File[:], f.Version, []byte(f.Path), encodeParts(f.Parts))
	return err
}

// ReleaseGrants lets go of the chunks of grants that ended, by their hashes.
func (c *Catalog) ReleaseGrants(ctx context.Context, ended [][32]byte) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		refs := newRefCounter(ctx, tx)
		defer refs.close()
		for _, h := range ended {
			res, err := tx.ExecContext(ctx, "UPDATE grants SET released = 1 WHERE hash = ? AND released = 0", h[:])
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				continue
			}
			files, err := collect(ctx, tx, scanGranted, grantedQuery, h[:])
			if err != nil {
				return err
			}
			for _, f := range files {
				if err := refs.drop(f.Parts); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

const grantedQuery = "SELECT file, version, path, parts FROM granted WHERE grant_hash = ? ORDER BY path"

func scanGranted(rows *sql.Rows) (f Granted, err error) {
	var id, path, parts []byte
	if err := rows.Scan(&id, &f.Version, &path, &parts); err != nil {
		return f, err
	}
	copy(f.File[:], id)
	f.Path = string(path)
	f.Parts, err = decodeParts(parts)
	return f, err
}

// Grants lists the grants with their files, newest first.
func (c *Catalog) Grants(ctx context.Context) ([]Grant, error) {
	list, err := collect(ctx, c.r, func(rows *sql.Rows) (g Grant, err error) {
		var hash, id, seats, brand []byte
		if err := rows.Scan(&hash, &id, &g.Doc, &seats, &brand, &g.Ticket, &g.Revocation, &g.Made); err != nil {
			return g, err
		}
		copy(g.Hash[:], hash)
		copy(g.ID[:], id)
		copy(g.Brand[:], brand)
		for ; len(seats) >= 32; seats = seats[32:] {
			g.Seats = append(g.Seats, peers.DeviceID(seats[:32]))
		}
		return g, nil
	}, "SELECT hash, id, doc, seats, brand, ticket, revocation, made FROM grants ORDER BY made DESC, id")
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Files, err = collect(ctx, c.r, scanGranted, grantedQuery, list[i].Hash[:]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Packages gives a grant's packages, oldest first.
func (c *Catalog) Packages(ctx context.Context, grant [32]byte) ([][]byte, error) {
	return collect(ctx, c.r, scanBlob, "SELECT doc FROM packages WHERE grant_hash = ? ORDER BY seq", grant[:])
}

func scanBlob(rows *sql.Rows) (b []byte, err error) {
	err = rows.Scan(&b)
	return b, err
}

// Revoke writes a revocation down. The first one stays.
func (c *Catalog) Revoke(ctx context.Context, grant [32]byte, doc []byte) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE grants SET revocation = ? WHERE hash = ? AND length(revocation) = 0", doc, grant[:])
		return err
	})
}

// Told notes that a device has acknowledged a grant's revocation.
func (c *Catalog) Told(ctx context.Context, grant [32]byte, d peers.DeviceID) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO told(grant_hash, device) VALUES(?,?)", grant[:], d[:])
		return err
	})
}

// Untold forgets what a device has acknowledged.
func (c *Catalog) Untold(ctx context.Context, d peers.DeviceID) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM heard WHERE device = ?", d[:]); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM told WHERE device = ?", d[:])
		return err
	})
}

// ToldOf lists the devices that acknowledged a grant's revocation.
func (c *Catalog) ToldOf(ctx context.Context, grant [32]byte) ([]peers.DeviceID, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (d peers.DeviceID, err error) {
		b, err := scanBlob(rows)
		copy(d[:], b)
		return d, err
	}, "SELECT device FROM told WHERE grant_hash = ?", grant[:])
}
