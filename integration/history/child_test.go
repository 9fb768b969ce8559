package history

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
	"github.com/idemtx/idemtx/scope"
)

// childTask is where a child of the test finds its task.
const childTask = "IDEMTX_HISTORY_TASK"

// task is one call in a process of its own, which kills itself on its way: at a
// trip, before that is sent or after it is answered.
type task struct {
	URL, Mode, Key string
	Payload        int
	Lease          time.Duration
	Retains        bool
	Runs           []int64 // the numbers for the runs of its handler
	Trip           int64
	Answered       bool
}

// word is what the child says of its call when it has got through with it. Before
// that it says of each run of its handler that it begins.
type word struct {
	Begins            bool
	Number            int64
	Replayed, Refused bool
	Unknown, Expired  bool
	Error             string
}

var errKilled = errors.New("the process was killed")

// callInChild has a child make the call. Of a process that was killed is known what
// it has said before.
func (c *call) callInChild() (told output, err error) {
	round := c.process.round
	t := task{
		URL: round.url, Mode: c.plan.mode, Key: c.key, Payload: c.plan.payload, Lease: round.lease(), Retains: round.retains,
		Trip: int64(c.plan.killedAt), Answered: c.plan.killedAnswered,
	}
	for range maxAttempts {
		t.Runs = append(t.Runs, round.nextRun())
	}
	text, err := json.Marshal(t)
	if err != nil {
		return told, err
	}
	self, err := os.Executable()
	if err != nil {
		return told, err
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), childTask+"="+string(text))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		return told, err
	}
	if err := child.Start(); err != nil {
		round.t.Errorf("a process does not start: %v", err)
		return told, err
	}
	told, err = c.listen(bufio.NewScanner(out), t)
	_ = child.Wait() // with an error when it was killed
	return told, err
}

// listen hears what the child says, and when. What that was about has begun
// earlier, but not before the call.
func (c *call) listen(words *bufio.Scanner, t task) (output, error) {
	round := c.process.round
	for words.Scan() {
		var w word
		if err := json.Unmarshal(words.Bytes(), &w); err != nil {
			round.t.Errorf("a process says what is no word: %v", err)
		}
		switch {
		case w.Begins:
			number := t.Runs[len(c.runs)]
			c.runs = append(c.runs, &run{
				number: number, draft: reply{number: number, payload: c.plan.payload}, began: round.now(),
				workBegan: c.began, worked: unknown, ended: c.began,
			})
		case w.Unknown:
			return output{}, errors.Join(idemtx.ErrOutcomeUnknown, errors.New(w.Error))
		case w.Expired:
			return output{}, idemtx.ErrExpired
		case w.Error != "":
			return output{}, errors.New(w.Error)
		default:
			var told idemtx.Reply[receipt]
			told.Value.Number, told.Replayed, told.Refused = w.Number, w.Replayed, w.Refused
			if len(c.runs) > 0 {
				last := c.runs[len(c.runs)-1]
				last.worked, last.workEnded = done, round.now()
			}
			return c.told(told), nil
		}
	}
	round.count("fault: process killed")
	if len(c.runs) == 0 {
		return output{}, errKilled
	}
	return output{}, errors.Join(idemtx.ErrOutcomeUnknown, errKilled)
}

// beChild makes the call of a task.
func beChild(text string) int {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		panic(err)
	}
	say := json.NewEncoder(os.Stdout)
	r, err := t.call(say)
	w := word{Number: r.Value.Number, Replayed: r.Replayed, Refused: r.Refused}
	if err != nil {
		w = word{Unknown: errors.Is(err, idemtx.ErrOutcomeUnknown), Expired: errors.Is(err, idemtx.ErrExpired), Error: firstLine(err)}
	}
	if err := say.Encode(w); err != nil {
		panic(err)
	}
	return 0
}

func (t task) call(say *json.Encoder) (idemtx.Reply[receipt], error) {
	var r idemtx.Reply[receipt]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pool, err := t.pool(ctx)
	if err != nil {
		return r, err
	}
	store, err := idemtx.New(pool, retaining(t.Retains, idemtx.Config{Schema: "history", Lease: t.Lease, MaxAttempts: maxAttempts}))
	if err != nil {
		return r, err
	}
	sc, err := scope.New("tenant", "principal")
	if err != nil {
		return r, err
	}
	handle := func(ctx context.Context, db execer) (receipt, error) {
		number := t.Runs[0]
		t.Runs = t.Runs[1:]
		if err := say.Encode(word{Begins: true}); err != nil {
			return receipt{}, err
		}
		_, err := db.Exec(ctx, insertEffect, t.Key, number)
		return receipt{Number: number}, err
	}
	inTx := func(ctx context.Context, tx pgx.Tx) (receipt, error) { return handle(ctx, tx) }
	asked := request(sc, t.Key, t.Payload, idemtx.Wait)
	switch t.Mode {
	case "Do":
		return idemtx.Do(ctx, store, asked, inTx)
	case "DoBatch":
		if err := say.Encode(word{Begins: true}); err != nil {
			return r, err
		}
		return idemtx.DoBatch[receipt](ctx, store, asked, batch(succeed, t.Key, t.Runs[0], false))
	case "DoPool":
		return idemtx.DoPool(ctx, store, asked, func(ctx context.Context) (receipt, error) { return handle(ctx, pool) })
	case "DoTx":
		tx, err := pool.Begin(ctx)
		if err != nil {
			return r, err
		}
		if r, err = idemtx.DoTx(ctx, store, tx, asked, inTx); err != nil {
			return r, err
		}
		if err := tx.Commit(ctx); err != nil && !r.Replayed {
			return r, fmt.Errorf("%w: %w", idemtx.ErrOutcomeUnknown, err)
		}
		return r, nil
	}
	panic("no such mode: " + t.Mode)
}

// pool is a pool whose user dies at the trip.
func (t task) pool(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(t.URL)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.RuntimeParams["application_name"] = clientName
	var trips atomic.Int64
	pgwire.Inject(&config.ConnConfig.Config, func(trip *pgwire.Trip) pgwire.Fate {
		switch {
		case trips.Add(1) != t.Trip:
		case t.Answered:
			trip.Answered = die
		default:
			die()
		}
		return pgwire.Deliver
	})
	return pgxpool.NewWithConfig(ctx, config)
}

// die ends the process at once, without a word to the server.
func die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {} // it takes a moment
}
