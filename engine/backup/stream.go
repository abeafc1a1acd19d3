// SPDX-License-Identifier: MPL-2.0

// Package backup is the form in which a catalog leaves its machine: a stream
// of plain records in a stable order, so that content-defined chunking finds
// most of it unchanged from one backup to the next, and a small signed and
// sealed head that leads to it. The package is pure: it knows neither the
// catalog's schema nor a network.
package backup

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"github.com/preezm/preezm/peers/said"
)

// ErrStream: the bytes are not a whole stream of this format.
var ErrStream = said.Error("backup-damaged", "the backup of the catalog is damaged or of a newer version")

const (
	magic = "preezm catalog stream 1\n"

	kindSchema = 1 // uvarint: how many schema steps the tables stand on
	kindNote   = 2 // name, bytes: what is no table
	kindTable  = 3 // name, count of columns, their names: rows follow
	kindRow    = 4 // a value for each column
	kindEnd    = 5 // uvarint: how many records came before it

	valueNull  = 0
	valueInt   = 1 // zigzag varint
	valueBlob  = 2
	valueText  = 3
	valueFloat = 4 // IEEE 754, little-endian

	maxName    = 64
	maxColumns = 64
	// MaxValue bounds one value and one note, in bytes: the largest in a
	// catalog is the list of a huge file's chunks.
	MaxValue = 64 << 20
	// shortRead is how much is read on a length's word before more is believed.
	shortRead = 64 << 10
)

// Writer writes a stream. The first error stays.
type Writer struct {
	w       *bufio.Writer
	buf     []byte
	columns int
	count   uint64
	err     error
}

// NewWriter begins a stream of tables that stand on that many schema steps.
func NewWriter(w io.Writer, schema int) *Writer {
	s := &Writer{w: bufio.NewWriterSize(w, 64<<10)}
	_, s.err = s.w.WriteString(magic)
	s.put(kindSchema, binary.AppendUvarint(nil, uint64(schema)))
	return s
}

func (s *Writer) put(kind byte, body []byte) {
	if s.err != nil {
		return
	}
	var head [1 + binary.MaxVarintLen64]byte
	head[0] = kind
	n := 1 + binary.PutUvarint(head[1:], uint64(len(body)))
	if _, s.err = s.w.Write(head[:n]); s.err == nil {
		_, s.err = s.w.Write(body)
	}
	s.count++
}

func appendBytes[T ~string | ~[]byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// Note writes something that is no table.
func (s *Writer) Note(name string, value []byte) error {
	s.columns = 0
	s.put(kindNote, append(appendBytes(nil, name), value...))
	return s.err
}

// Table begins a table.
func (s *Writer) Table(name string, columns []string) error {
	b := binary.AppendUvarint(appendBytes(nil, name), uint64(len(columns)))
	for _, c := range columns {
		b = appendBytes(b, c)
	}
	s.columns = len(columns)
	s.put(kindTable, b)
	return s.err
}

// Row writes a row of the table begun last: nil, int64, float64, []byte or
// string for each column.
func (s *Writer) Row(values []any) error {
	if s.err == nil && (len(values) != s.columns || s.columns == 0) {
		s.err = errors.New("backup: a row that fits no table")
	}
	b := s.buf[:0]
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			b = append(b, valueNull)
		case int64:
			b = binary.AppendVarint(append(b, valueInt), v)
		case []byte:
			b = appendBytes(append(b, valueBlob), v)
		case string:
			b = appendBytes(append(b, valueText), v)
		case float64:
			b = binary.LittleEndian.AppendUint64(append(b, valueFloat), math.Float64bits(v))
		default:
			if s.err == nil {
				s.err = fmt.Errorf("backup: a value of type %T", v)
			}
		}
	}
	s.buf = b
	s.put(kindRow, b)
	return s.err
}

// Close ends the stream. Without its end it is not valid.
func (s *Writer) Close() error {
	s.put(kindEnd, binary.AppendUvarint(nil, s.count))
	if s.err != nil {
		return s.err
	}
	return s.w.Flush()
}

// Sink takes what a stream holds, in its order. What it is given is valid until
// it returns.
type Sink interface {
	Schema(steps int) error
	Note(name string, value []byte) error
	Table(name string, columns []string) error
	Row(values []any) error
}

// Read gives a stream to a sink, strictly: there is one way to write each
// stream, and after its end nothing may come. ErrStream, or the sink's error.
func Read(r io.Reader, to Sink) error {
	d := &reader{r: bufio.NewReaderSize(r, 64<<10), to: to}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(d.r, head); err != nil {
		return d.broken(err)
	}
	if string(head) != magic {
		return fmt.Errorf("%w (no catalog at all)", ErrStream)
	}
	for {
		end, err := d.record()
		if err != nil {
			return err
		}
		if end {
			break
		}
	}
	if _, err := d.r.ReadByte(); !errors.Is(err, io.EOF) {
		if err != nil {
			return d.broken(err)
		}
		return fmt.Errorf("%w (something follows its end)", ErrStream)
	}
	return nil
}

type reader struct {
	r       *bufio.Reader
	to      Sink
	buf     bytes.Buffer
	count   uint64
	columns int
	values  []any
}

// broken: the stream ends too soon, or the reader below it has trouble of its
// own.
func (d *reader) broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w (it ends too soon)", ErrStream)
	}
	return err
}

func (d *reader) bad(what string) error { return fmt.Errorf("%w (%s)", ErrStream, what) }

// uvarint reads a number in its shortest form.
func (d *reader) uvarint() (uint64, error) {
	var raw []byte
	for len(raw) < binary.MaxVarintLen64 {
		c, err := d.r.ReadByte()
		if err != nil {
			return 0, d.broken(err)
		}
		raw = append(raw, c)
		if c < 0x80 {
			break
		}
	}
	v, n := binary.Uvarint(raw)
	if n != len(raw) || n > 1 && raw[n-1] == 0 {
		return 0, d.bad("a bad number")
	}
	return v, nil
}

func (d *reader) record() (end bool, err error) {
	kind, err := d.r.ReadByte()
	if err != nil {
		return false, d.broken(err)
	}
	size, err := d.uvarint()
	if err != nil {
		return false, err
	}
	if size > MaxValue+maxName*maxColumns {
		return false, d.bad("a huge record")
	}
	d.buf.Reset()
	// The buffer grows with what comes, not with what was announced.
	for left := int64(size); left > 0; {
		n, err := io.CopyN(&d.buf, d.r, min(left, shortRead))
		left -= n
		if err != nil {
			return false, d.broken(err)
		}
	}
	first := d.count == 0
	d.count++
	if first != (kind == kindSchema) {
		return false, d.bad("its schema is not where it belongs")
	}
	body := cursor{b: d.buf.Bytes()}
	switch kind {
	case kindSchema:
		v := body.uvarint()
		if !body.done() || v > 1<<16 {
			return false, d.bad("its schema")
		}
		return false, d.to.Schema(int(v))
	case kindNote:
		d.columns = 0
		name := string(body.bytes(maxName))
		if body.bad || !utf8.ValidString(name) {
			return false, d.bad("a note")
		}
		return false, d.to.Note(name, body.b)
	case kindTable:
		return false, d.table(&body)
	case kindRow:
		return false, d.row(&body)
	case kindEnd:
		if v := body.uvarint(); !body.done() || v != d.count-1 {
			return false, d.bad("records are missing")
		}
		return true, nil
	}
	return false, d.bad("a record of a kind that is not known")
}

func (d *reader) table(body *cursor) error {
	name := string(body.bytes(maxName))
	n := body.uvarint()
	if body.bad || n == 0 || n > maxColumns {
		return d.bad("a table")
	}
	columns := make([]string, n)
	for i := range columns {
		columns[i] = string(body.bytes(maxName))
	}
	if !body.done() {
		return d.bad("a table's columns")
	}
	d.columns = len(columns)
	return d.to.Table(name, columns)
}

func (d *reader) row(body *cursor) error {
	if d.columns == 0 {
		return d.bad("a row of no table")
	}
	d.values = d.values[:0]
	for range d.columns {
		d.values = append(d.values, body.value())
	}
	if !body.done() {
		return d.bad("a row")
	}
	return d.to.Row(d.values)
}

// cursor takes a record apart; once something is wrong it stays bad.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) done() bool { return !c.bad && len(c.b) == 0 }

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || n > 1 && c.b[n-1] == 0 {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) bytes(limit uint64) []byte {
	n := c.uvarint()
	if c.bad || n > limit || n > uint64(len(c.b)) {
		c.bad = true
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) value() any {
	if c.bad || len(c.b) == 0 {
		c.bad = true
		return nil
	}
	kind := c.b[0]
	c.b = c.b[1:]
	switch kind {
	case valueNull:
		return nil
	case valueInt:
		v, n := binary.Varint(c.b)
		if n <= 0 || n > 1 && c.b[n-1] == 0 {
			c.bad = true
			return nil
		}
		c.b = c.b[n:]
		return v
	case valueBlob:
		return append([]byte{}, c.bytes(MaxValue)...)
	case valueText:
		return string(c.bytes(MaxValue))
	case valueFloat:
		if len(c.b) < 8 {
			c.bad = true
			return nil
		}
		v := math.Float64frombits(binary.LittleEndian.Uint64(c.b))
		c.b = c.b[8:]
		return v
	}
	c.bad = true
	return nil
}
