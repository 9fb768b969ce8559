package idemadmin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/idemtx/idemtx/idemtx"
)

const (
	subjectTable   = "table"
	subjectSweeper = "sweeper"
)

// examineSchema takes VerifySchema's differences apart, each of which ends with
// its cure.
func examineSchema(ctx context.Context, s *idemtx.Store) ([]Finding, error) {
	var differs *idemtx.SchemaError
	switch err := s.VerifySchema(ctx); {
	case err == nil:
		return ok(subjectTable, table(s)+" is as needed, and the role has the rights to serve"), nil
	case !errors.As(err, &differs):
		return nil, err
	}
	var found []Finding
	for _, difference := range differs.Differences {
		text, cure, _ := strings.Cut(difference, ", cure: ")
		if strings.HasPrefix(text, "PostgreSQL ") {
			continue // examineServer has said it
		}
		found = append(found, Finding{LevelBad, subjectTable, text, cure})
	}
	return found, nil
}

// Ages of what is due from which on nobody seems to sweep. A sweeper looks every so
// often, and rests while others work.
const (
	overdue = time.Hour
	unswept = day
)

func examineSweeper(ctx context.Context, s *idemtx.Store) ([]Finding, error) {
	var late []struct {
		ExpiredAt time.Time
		Seconds   float64
	}
	if err := selectAll(ctx, s, &late, "overdue"); err != nil {
		return nil, err
	}
	if len(late) == 0 {
		return ok(subjectSweeper, "nothing is due"), nil
	}
	age := time.Duration(late[0].Seconds * float64(time.Second)).Truncate(time.Second)
	f := Finding{LevelOK, subjectSweeper, fmt.Sprintf("the oldest expired row has been due for %v", age), ""}
	if age < overdue {
		return []Finding{f}, nil
	}
	f.Level, f.Advice = LevelWarn, "run Store.RunSweeper in every replica, or idemtx sweep from a scheduler"
	if age >= unswept {
		f.Level = LevelBad
	}
	f.Text += ": nobody seems to sweep, or the sweeper does not keep up"
	return []Finding{f}, nil
}
