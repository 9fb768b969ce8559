package idemhttp

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/idemtx/idemtx/idemtx"
)

// content is what a request says that its body is.
type content struct {
	media  string // type without parameters, or nothing when there is none that makes sense
	coding string // codings as of gzip, or nothing
}

func contentOf(r *http.Request) content {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		media = ""
	}
	coding := strings.ToLower(strings.Join(r.Header.Values("Content-Encoding"), ","))
	coding = strings.Join(strings.Fields(coding), "")
	if coding == "identity" {
		coding = ""
	}
	return content{media, coding}
}

// payload is what of the body is compared: JSON as such, and everything else,
// compressed JSON included, byte for byte. No body at all is not JSON, whatever
// its type.
func (c content) payload(body []byte) any {
	isJSON := c.media == "application/json" || strings.HasSuffix(c.media, "+json")
	if isJSON && len(body) > 0 && c.coding == "" {
		return json.RawMessage(body)
	}
	return idemtx.Raw(body)
}
