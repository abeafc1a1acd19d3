// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"errors"
)

// handle is a transaction, or a database.
type handle interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
	PrepareContext(context.Context, string) (*sql.Stmt, error)
}

// preparing is a handle that keeps the statements it is asked for, by their text:
// what is done for each of many rows costs no parsing. For one goroutine; a query's
// rows are closed before it is asked again.
type preparing struct {
	handle
	stmts map[string]*sql.Stmt
}

func newPreparing(h handle) *preparing { return &preparing{h, map[string]*sql.Stmt{}} }

func (p *preparing) close() (err error) {
	for _, s := range p.stmts {
		err = errors.Join(err, s.Close())
	}
	return err
}

func (p *preparing) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	s := p.stmts[query]
	if s == nil {
		var err error
		if s, err = p.handle.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
		p.stmts[query] = s
	}
	return s, nil
}

func (p *preparing) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := p.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (p *preparing) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (p *preparing) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := p.prepared(ctx, query)
	if err != nil {
		return p.handle.QueryRowContext(ctx, query, args...) // fails alike
	}
	return s.QueryRowContext(ctx, args...)
}
