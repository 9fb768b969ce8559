package history

import (
	"fmt"
	"strings"
)

func (k kind) String() string {
	return [...]string{"call", "claim", "work", "leave", "Get", "expire", "retire", "lapse", "sweep", "audit"}[k]
}

func (o outcome) String() string {
	return [...]string{"failed", "unknown", "done", "replayed", "expired"}[o]
}

func (r reply) String() string {
	if r == (reply{}) {
		return "none"
	}
	text := fmt.Sprintf("#%d", r.number)
	if r.payload != 0 {
		text += fmt.Sprintf(" to payload %d", r.payload)
	}
	if r.refused {
		text += " refused"
	}
	return text
}

func (s state) String() string {
	parts := []string{"reply " + s.reply.String()}
	if s.spent != (reply{}) {
		parts = append(parts, "expired "+s.spent.String())
	}
	if s.holder != 0 {
		held := fmt.Sprintf("claimed by #%d", s.holder)
		if s.lapsed {
			held += ", lapsed"
		}
		parts = append(parts, held)
	}
	return strings.Join(append(parts, "effects "+s.effects.String()), "; ")
}

func (s *set) String() string {
	var numbers []string
	for number := range int64(maxRuns) {
		if s.has(number) {
			numbers = append(numbers, fmt.Sprintf("#%d", number))
		}
	}
	return "{" + strings.Join(numbers, " ") + "}"
}

// describe is the operation as the picture of a history shows it.
func describe(in input, out output) string {
	text := in.mode
	if text == "" {
		text = in.kind.String()
	} else if in.kind != whole {
		text += " " + in.kind.String()
	}
	text += fmt.Sprintf(": %v, %v", out.outcome, out.reply)
	if in.kind == audit {
		text += fmt.Sprintf(", effects %v", out.effects)
	}
	if len(out.runs) > 0 {
		text += fmt.Sprintf(", runs %v", out.runs)
	}
	if out.cause != "" {
		text += " (" + out.cause + ")"
	}
	return text
}
