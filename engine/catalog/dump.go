// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/blake3"
)

// localTables mean something on this machine only and do not leave it.
var localTables = []string{"candidates", "chores", "head_acks", "imports", "seen", "needed", "dead", "apart", "backed_up"}

// restless tables change all the time, or because of a backup: alone they are no
// reason for one.
var restless = []string{"backups", "epochs", "deletions", "moves", "keepers", "presence", "audits", "care", "receipts"}

// TableSink takes a dump.
type TableSink interface {
	Table(name string, columns []string) error
	Row(values []any) error
}

// Schema is how many steps the tables of this program stand on.
func Schema() int { return len(migrations) }

// Dump gives everything in the catalog at one moment to a sink: the tables by
// name, their rows by primary key. So two dumps differ only where the catalog
// does. It gives the Stamp of that moment too, for one look at it all.
func (c *Catalog) Dump(ctx context.Context, to TableSink) (stamp [32]byte, err error) {
	return c.stamped(ctx, to, func(string) bool { return true })
}

// stamped gives those tables that leave this machine, and among them those that
// are wanted, to a sink, which may be nil, and their Stamp.
func (c *Catalog) stamped(ctx context.Context, to TableSink, wanted func(table string) bool) (stamp [32]byte, err error) {
	h := &hashing{Hasher: blake3.New(), to: to}
	err = c.still(ctx, func(tx queryer) error {
		backups, err := collect(ctx, tx, scanInt, "SELECT id FROM segments WHERE backup = 1")
		if err != nil {
			return err
		}
		h.backups = make(map[int64]bool, len(backups))
		for _, id := range backups {
			h.backups[id] = true
		}
		return dump(ctx, tx, h, func(table string) bool { return !slices.Contains(localTables, table) && wanted(table) })
	})
	h.Sum(stamp[:0])
	return stamp, err
}

// still runs f on the catalog as it is at one moment.
func (c *Catalog) still(ctx context.Context, f func(queryer) error) error {
	conn, err := c.r.Conn(ctx)
	if err != nil {
		return fmt.Errorf("catalog: %w", explain(err))
	}
	defer conn.Close()
	// Not BeginTx, which would begin a transaction that writes.
	if _, err := conn.ExecContext(ctx, "BEGIN DEFERRED"); err != nil {
		return fmt.Errorf("catalog: %w", explain(err))
	}
	err = f(conn)
	if _, rerr := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err == nil && rerr != nil {
		err = fmt.Errorf("catalog: %w", explain(rerr))
	}
	return err
}

// Stamp tells two states of the catalog apart by all that a backup is made for:
// it leaves out the backups themselves, and what keepers still are to forget.
func (c *Catalog) Stamp(ctx context.Context) (stamp [32]byte, err error) {
	return c.stamped(ctx, nil, func(table string) bool { return !slices.Contains(restless, table) })
}

// hashing hashes what counts for a Stamp and passes everything on.
type hashing struct {
	*blake3.Hasher
	to      TableSink      // nil: it only hashes
	backups map[int64]bool // the segments that hold them
	counts  bool           // the table does
	segment int            // the column that names a row's segment, -1: none
	what    int            // the column that names what was said, -1: none
	buf     []byte
}

func (h *hashing) Table(name string, columns []string) error {
	if h.to != nil {
		if err := h.to.Table(name, columns); err != nil {
			return err
		}
	}
	if h.counts = !slices.Contains(restless, name); h.counts {
		fmt.Fprintf(h, "%q %q\n", name, columns)
	}
	h.segment, h.what = -1, -1
	switch name {
	case "said", "heard":
		h.what = slices.Index(columns, "what")
	case "segments":
		h.segment = slices.Index(columns, "id")
	case "chunks", "shards":
		// How often backups need chunks is no matter: they share none with files.
		h.segment = slices.Index(columns, "segment")
	}
	return nil
}

func (h *hashing) Row(values []any) error {
	if h.to != nil {
		if err := h.to.Row(values); err != nil {
			return err
		}
	}
	if !h.counts {
		return nil
	}
	if h.segment >= 0 {
		if id, ok := values[h.segment].(int64); ok && h.backups[id] {
			return nil
		}
	}
	// What a caretaker is told names the pieces of backups, too: a backup made
	// for it would have to be told to it, and so on.
	if h.what >= 0 {
		if what, ok := values[h.what].(string); ok && strings.HasPrefix(what, "care/") {
			return nil
		}
	}
	b := h.buf[:0]
	for _, v := range values {
		switch v := v.(type) {
		case int64:
			b = binary.LittleEndian.AppendUint64(append(b, 1), uint64(v))
		case []byte:
			b = append(binary.LittleEndian.AppendUint64(append(b, 2), uint64(len(v))), v...)
		default:
			b = fmt.Appendf(b, "%q", fmt.Sprint(v))
		}
	}
	h.buf = b
	_, err := h.Write(b)
	return err
}

// dump gives the tables that are wanted.
func dump(ctx context.Context, tx queryer, to TableSink, wanted func(table string) bool) error {
	names, err := tableNames(ctx, tx)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !wanted(n) {
			continue
		}
		columns, key, err := tableColumns(ctx, tx, n)
		if err != nil {
			return err
		}
		if err := dumpTable(ctx, tx, to, n, columns, "ORDER BY "+strings.Join(quoted(key), ", ")); err != nil {
			return err
		}
	}
	return nil
}

type queryer interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}

// dumpTable gives the rows that meet a condition and order.
func dumpTable(ctx context.Context, db queryer, to TableSink, name string, columns []string, where string) error {
	if err := to.Table(name, columns); err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(quoted(columns), ", ")+" FROM "+quote(name)+" "+where)
	if err != nil {
		return fmt.Errorf("catalog: %w", explain(err))
	}
	defer rows.Close()
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
		if err := to.Row(values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("catalog: %w", explain(err))
	}
	return nil
}

func tableNames(ctx context.Context, db queryer) ([]string, error) {
	return collect(ctx, db, func(rows *sql.Rows) (n string, err error) {
		err = rows.Scan(&n)
		return n, err
	}, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")
}

// tableColumns gives a table's columns in their order, and those of its key.
func tableColumns(ctx context.Context, db queryer, table string) (columns, key []string, err error) {
	type column struct {
		name string
		key  int
	}
	all, err := collect(ctx, db, func(rows *sql.Rows) (c column, err error) {
		err = rows.Scan(&c.name, &c.key)
		return c, err
	}, "SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", table)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range all {
		columns = append(columns, c.name)
	}
	slices.SortStableFunc(all, func(a, b column) int { return a.key - b.key })
	for _, c := range all {
		if c.key > 0 {
			key = append(key, c.name)
		}
	}
	if len(key) == 0 {
		return nil, nil, fmt.Errorf("catalog: table %s has no primary key", table)
	}
	return columns, key, nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = quote(n)
	}
	return out
}

// Builder makes a catalog from a dump, possibly of an older program: the tables
// are made as they were then, filled, and brought up to date.
type Builder struct {
	ctx    context.Context
	c      *Catalog
	tx     *sql.Tx
	insert *sql.Stmt
	table  string
	// Ignore lets rows pass whose key is there already.
	Ignore bool
}

// NewBuilder begins a catalog, sealed with key unless that is nil, in a file that
// must not be there. ErrNewer when
// the dump is of a newer program.
func NewBuilder(ctx context.Context, path string, key []byte, schema int) (*Builder, error) {
	if schema > len(migrations) {
		return nil, ErrNewer
	}
	if schema < 1 {
		return nil, fmt.Errorf("catalog: schema %d", schema)
	}
	c, err := openAt(ctx, path, key, schema)
	if err != nil {
		return nil, err
	}
	b := &Builder{ctx: ctx, c: c}
	// The order of the tables is not that of what they refer to: all of it is
	// checked at the end.
	b.tx, err = c.w.BeginTx(ctx, nil)
	if err == nil {
		_, err = b.tx.ExecContext(ctx, "PRAGMA defer_foreign_keys = ON")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("catalog: %w", explain(err)), b.Abort())
	}
	return b, nil
}

// Table begins a table.
func (b *Builder) Table(name string, columns []string) error {
	if err := b.endTable(); err != nil {
		return err
	}
	have, _, err := tableColumns(b.ctx, b.tx, name)
	if err != nil {
		return err
	}
	for _, c := range columns {
		if !slices.Contains(have, c) {
			return fmt.Errorf("catalog: a backup with a column %s.%s", name, c)
		}
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",")
	verb := "INSERT INTO "
	if b.Ignore {
		verb = "INSERT OR IGNORE INTO "
	}
	b.insert, err = b.tx.PrepareContext(b.ctx, verb+quote(name)+"("+strings.Join(quoted(columns), ", ")+") VALUES("+marks+")")
	if err != nil {
		return fmt.Errorf("catalog: %w", explain(err))
	}
	b.table = name
	return nil
}

// Row adds a row to the table begun last.
func (b *Builder) Row(values []any) error {
	if b.insert == nil {
		return errors.New("catalog: a row of no table")
	}
	if _, err := b.insert.ExecContext(b.ctx, values...); err != nil {
		return fmt.Errorf("catalog: table %s: %w", b.table, explain(err))
	}
	return nil
}

func (b *Builder) endTable() error {
	if b.insert == nil {
		return nil
	}
	err := b.insert.Close()
	b.insert = nil
	return err
}

// Finish makes the catalog durable and gives it, open and up to date.
func (b *Builder) Finish() (*Catalog, error) {
	err := b.endTable()
	if err == nil {
		if err = b.tx.Commit(); err != nil {
			err = fmt.Errorf("catalog: %w", explain(err))
		}
	}
	if err == nil {
		err = b.c.migrate(b.ctx, len(migrations))
	}
	if err == nil {
		err = b.c.forgetUnsettled(b.ctx)
	}
	if err == nil {
		err = b.c.ready(b.ctx)
	}
	if err != nil {
		return nil, errors.Join(err, b.Abort())
	}
	return b.c, nil
}

// Abort gives up what was begun. The file stays for the caller to remove.
func (b *Builder) Abort() error {
	var errs []error
	if b.tx != nil {
		errs = append(errs, b.endTable(), ignoreDone(b.tx.Rollback()))
	}
	return errors.Join(append(errs, b.c.Close())...)
}
