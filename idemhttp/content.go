package idemhttp

import (
	"cmp"
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	"github.com/idemtx/idemtx/idemtx"
)

// content is what a request says that its body is.
type content struct {
	json   bool
	media  string // type, and parameters where they make the body another one
	coding string // codings as of gzip, or nothing
}

func contentOf(r *http.Request) content {
	c := content{coding: codingOf(r.Header)}
	said := strings.Join(r.Header.Values("Content-Type"), ", ")
	media, parameters, err := mime.ParseMediaType(said)
	switch {
	case said == "":
	case media == "":
		// Readers differ on what this is. If one may take it for JSON, so it is.
		c.json = strings.Contains(strings.ToLower(said), "json")
		c.media = hashed(said)
	case media == "application/json", strings.HasSuffix(media, "+json"):
		c.json, c.media = true, media // all of JSON is UTF-8
	case err != nil:
		c.media = media + ";" + hashed(said)
	case len(parameters) > 0:
		c.media = media + ";" + hashed(cmp.Or(mime.FormatMediaType(media, parameters), said))
	default:
		c.media = media
	}
	return c
}

func codingOf(h http.Header) string {
	coding := strings.ToLower(strings.Join(h.Values("Content-Encoding"), ","))
	coding = strings.Join(strings.Fields(coding), "")
	if coding == "identity" {
		return ""
	}
	return coding
}

// payload is what of the body is compared: JSON as such, and everything else,
// compressed JSON included, byte for byte. No body at all is not JSON, whatever
// its type.
func (c content) payload(body []byte) any {
	if c.json && c.coding == "" && len(body) > 0 {
		return json.RawMessage(body)
	}
	return idemtx.Raw(body)
}
