package command

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// status is what is told of a key.
type status struct {
	Scope       string          `json:"scope"`
	Key         string          `json:"key"`
	State       idemadmin.State `json:"state"`
	Since       *time.Time      `json:"since,omitempty"`
	Fingerprint string          `json:"fingerprint,omitempty"`
	CreatedAt   *time.Time      `json:"created_at,omitempty"`
	ExpiresAt   *time.Time      `json:"expires_at,omitempty"`
	LeaseUntil  *time.Time      `json:"lease_until,omitempty"`
	RetainUntil *time.Time      `json:"retain_until,omitempty"`
	Bytes       int64           `json:"bytes,omitempty"`
	Sealed      bool            `json:"sealed,omitempty"`
	KeyID       string          `json:"key_id,omitempty"`
	Pid         int32           `json:"pid,omitempty"`
	Prepared    string          `json:"prepared,omitempty"`
	Reply       *reply          `json:"reply,omitempty"`
}

// reply is what --show-reply asks for.
type reply struct {
	Response json.RawMessage `json:"response"`
	Body     []byte          `json:"body,omitempty"` // in base64
}

func (p *Program) lookup() *cobra.Command {
	var w whose
	showReply := false
	c := &cobra.Command{
		Use: "lookup [key | -]", Short: "Tells what has become of a key", Args: atMostOneKey,
		Long: "Tells what has become of a key: absent, in_flight, answered, refused or expired. The exit code is 1 when it\n" +
			"is absent.",
		RunE: runs(func(ctx context.Context, args []string) error {
			sc, key, err := w.read(args, bufio.NewReader(p.In))
			if err != nil {
				return err
			}
			return p.asks(func(ctx context.Context, s *idemtx.Store, _ []string) error {
				return p.look(ctx, s, sc, key, showReply)
			})(ctx, args)
		}),
	}
	w.flags(c)
	c.Flags().BoolVar(&showReply, "show-reply", false, "print the stored reply, too")
	return c
}

func (p *Program) look(ctx context.Context, s *idemtx.Store, sc scope.Scope, key string, showReply bool) error {
	is, err := idemadmin.Look(ctx, s, sc, key)
	if err != nil {
		return err
	}
	st := statusOf(sc, key, is)
	if showReply {
		if st.Reply, err = p.reply(ctx, s, sc, key, is); err != nil {
			return err
		}
	}
	if p.flags.json {
		err = p.printJSON(st)
	} else {
		err = p.printStatus(st, is)
	}
	if err == nil && is.State == idemadmin.StateAbsent {
		return errFound
	}
	return err
}

// reply is nil where there is none to be read, and says why.
func (p *Program) reply(ctx context.Context, s *idemtx.Store, sc scope.Scope, key string, is idemadmin.Status) (*reply, error) {
	switch {
	case is.State != idemadmin.StateAnswered && is.State != idemadmin.StateRefused:
		return nil, nil
	case is.Sealed:
		fmt.Fprintln(p.Err, "idemtx: the reply is sealed: only a program with the store's Config.Codec can read it")
		return nil, nil
	}
	entry, err := s.Get(ctx, sc, key)
	switch {
	case errors.Is(err, idemtx.ErrNotFound): // a moment ago it was there
		fmt.Fprintln(p.Err, "idemtx: the reply has gone meanwhile")
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &reply{entry.Response, entry.Body}, nil
}

func statusOf(sc scope.Scope, key string, is idemadmin.Status) status {
	st := status{
		Scope: sc.LogID(), Key: redacted(key), State: is.State, Since: orNil(is.Since),
		CreatedAt: orNil(is.CreatedAt), ExpiresAt: orNil(is.ExpiresAt),
		LeaseUntil: orNil(is.LeaseUntil), RetainUntil: orNil(is.RetainUntil),
		Bytes: is.Bytes, Sealed: is.Sealed, KeyID: is.KeyID, Pid: is.Pid, Prepared: is.Prepared,
	}
	if is.Fingerprint != (idemtx.Fingerprint{}) {
		st.Fingerprint = hex.EncodeToString(is.Fingerprint[:])
	}
	return st
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (p *Program) printStatus(st status, is idemadmin.Status) error {
	list := []field{
		{"scope", st.Scope},
		{"key", st.Key},
		{"state", p.paint(string(st.State), colourOf(st.State))},
		{"since", moment(is.Since)},
		{"fingerprint", st.Fingerprint},
		{"created", moment(is.CreatedAt)},
		{"expires", moment(is.ExpiresAt)},
		{"lease until", moment(is.LeaseUntil)},
		{"retained until", moment(is.RetainUntil)},
		{"held by", heldBy(is)},
	}
	if is.Bytes > 0 {
		list = append(list, field{"stored", bytesOf(is.Bytes)})
	}
	if is.Sealed {
		list = append(list, field{"sealed", fmt.Sprintf("with key %q", is.KeyID)})
	}
	if st.Reply != nil {
		list = append(list, field{"reply", printable(string(st.Reply.Response))})
		if st.Reply.Body != nil {
			list = append(list, field{"body", bodyOf(st.Reply.Body)})
		}
	}
	return p.fields(list)
}

func heldBy(is idemadmin.Status) string {
	switch {
	case is.Prepared != "":
		return fmt.Sprintf("the prepared transaction %q", is.Prepared)
	case is.Pid != 0:
		return fmt.Sprintf("backend %d", is.Pid)
	}
	return ""
}

// bodyOf quotes what a terminal would obey.
func bodyOf(body []byte) string {
	if utf8.Valid(body) {
		return fmt.Sprintf("%q", body)
	}
	return fmt.Sprintf("%d bytes that are no text: --json has them in base64", len(body))
}

func colourOf(state idemadmin.State) color.Attribute {
	switch state {
	case idemadmin.StateAnswered:
		return color.FgGreen
	case idemadmin.StateInFlight:
		return color.FgCyan
	case idemadmin.StateRefused:
		return color.FgMagenta
	case idemadmin.StateExpired:
		return color.FgYellow
	}
	return color.FgRed
}
