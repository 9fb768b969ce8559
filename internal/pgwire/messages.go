package pgwire

import "encoding/binary"

// The messages that matter here, by their first byte. See "Message Formats" in
// PostgreSQL's manual.
const (
	// From the client.
	parse   = 'P'
	bind    = 'B'
	execute = 'E'
	query   = 'Q'
	sync    = 'S'

	// From the server.
	backendKeyData = 'K'
	copyInResponse = 'G'
	readyForQuery  = 'Z'
)

// message is one message with its header.
type message struct {
	kind byte // 0 for the startup message, which has none
	body []byte
	raw  []byte
}

// stream cuts bytes into messages as they come in.
type stream struct {
	rest    []byte
	untyped bool // the next message is the startup message
}

func (s *stream) add(b []byte) { s.rest = append(s.rest, b...) }

// next returns the next message that is complete.
func (s *stream) next() (m message, ok bool) {
	header := 5
	if s.untyped {
		header = 4
	}
	if len(s.rest) < header {
		return m, false
	}
	// The length counts itself and not the first byte.
	end := header - 4 + int(binary.BigEndian.Uint32(s.rest[header-4:]))
	if len(s.rest) < end {
		return m, false
	}
	if !s.untyped {
		m.kind = s.rest[0]
	}
	m.raw, m.body = s.rest[:end:end], s.rest[header:end:end]
	s.rest, s.untyped = s.rest[end:], false
	return m, true
}
