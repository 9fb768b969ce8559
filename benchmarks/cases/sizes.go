package cases

import (
	"context"
	"slices"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/floors"
	"github.com/idemtx/idemtx/benchmarks/ours"
)

// SizesCase is the name of the case that weighs instead of timing.
const SizesCase = "sizes"

// KeySize is how many bytes one key takes.
type KeySize struct {
	Reply                           int // as JSON text
	Table, Toast, PrimaryKey, Index float64
	WAL                             float64 // beside that of the work's transaction
}

// sizes weighs what many first requests have left. Replies do not compress well, as
// none do whose text is random.
func sizes() Case {
	return Case{
		Name:  SizesCase,
		About: "how many bytes a key takes whose reply does not compress",
		Run: func(ctx context.Context, b *Bench) (result Result, err error) {
			for _, reply := range []int{200, 1 << 10, 16 << 10, 256 << 10} {
				size, err := b.weigh(ctx, reply)
				if err != nil {
					return result, err
				}
				result.Sizes = append(result.Sizes, size)
			}
			return result, nil
		},
	}
}

func (b *Bench) weigh(ctx context.Context, reply int) (KeySize, error) {
	n := max(400, min(20_000, 1<<26/reply)/b.Shrink)
	size := KeySize{Reply: reply}
	plain, err := b.writeAhead(ctx, floors.PlainTransaction, reply, n, nil)
	if err != nil {
		return size, err
	}
	whole, err := b.writeAhead(ctx, ours.Do, reply, n, func(table string) error {
		return b.Admin.QueryRow(ctx, `SELECT pg_relation_size(c.oid)::float8, pg_total_relation_size(nullif(reltoastrelid, 0))::float8,
				pg_relation_size(conindid)::float8, (pg_indexes_size(c.oid) - pg_relation_size(conindid))::float8
			FROM pg_class c JOIN pg_constraint ON conrelid = c.oid AND contype = 'p' WHERE c.oid = $1::regclass`, table).
			Scan(&size.Table, &size.Toast, &size.PrimaryKey, &size.Index)
	})
	size.WAL = whole - plain
	for _, bytes := range []*float64{&size.Table, &size.Toast, &size.PrimaryKey, &size.Index, &size.WAL} {
		*bytes /= float64(n)
	}
	return size, err
}

// writeAhead is how many bytes of WAL n first requests write, whose table weigh is
// given then, unless it is nil.
func (b *Bench) writeAhead(ctx context.Context, name string, reply, n int, weigh func(table string) error) (float64, error) {
	i := slices.IndexFunc(b.Contenders, func(c contender.Contender) bool { return c.Name == name })
	setting := Usual(contender.First)
	setting.Reply = reply
	st, err := b.open(ctx, b.Contenders[i], setting)
	if err != nil {
		return 0, err
	}
	defer st.end()
	written, err := b.wal(ctx)
	if err != nil {
		return 0, err
	}
	if err := st.seed(ctx, n); err != nil {
		return 0, err
	}
	bytes, err := written()
	if err == nil && weigh != nil {
		err = weigh(ours.Table(st.env))
	}
	return bytes, err
}
