package idemui

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// Config says what a [Handler] shows. The zero value is a good one.
type Config struct {
	// Recorder knows what the calls of this process did.
	//
	// Defaults to the store's Tracer when that is a Recorder, and else to none: then
	// the pages tell of the table alone. It has to be named here when it is the Next
	// of another Tracer.
	Recorder *Recorder

	// Timeout is how long a page waits for each answer of the database, of which the
	// overview needs three, from 10 milliseconds to one minute. Counting reads the
	// whole table: of one that cannot be counted in time, the overview says so, and
	// shows PostgreSQL's own estimate.
	//
	// Defaults to 2 seconds.
	Timeout time.Duration

	// CountEvery is how old the counts and claims may be that are shown, up to one hour.
	// They also become as old as 20 times what they took, so that they are never more
	// than a tenth of the work of one connection, however many readers there are.
	//
	// Defaults to 5 seconds.
	CountEvery time.Duration

	// ShowReplies shows the stored reply on the page of a key, decrypted where it is
	// sealed. Replies hold what your clients were told.
	ShowReplies bool

	// ShowScopes shows tenants and principals, where they are known, beside the hash
	// that is shown without.
	ShowScopes bool
}

// Handler serves the pages. It is safe for concurrent use, and has nothing to close.
//
// It may be mounted under any prefix that ends in a slash, with [http.StripPrefix] or
// without: it looks at what follows the last slash of a path, and its links are
// relative. An [http.ServeMux] sends those who leave the slash out to where they belong.
//
// It answers POST only to what a browser calls the same origin, by Sec-Fetch-Site, which
// browsers send over https, or else by Origin and Host: a proxy in front of it has to pass
// on the first or leave the others as they are.
type Handler struct {
	store    *idemtx.Store
	config   Config
	recorder *Recorder // nil when there is none
	pages    http.Handler

	stats  cached[idemadmin.Stats]
	claims cached[[]idemadmin.Flight]
}

var _ http.Handler = (*Handler)(nil)

// New returns the pages of a store. It does not connect.
//
// An error names the field of config that is out of its bounds.
func New(store *idemtx.Store, config Config) (*Handler, error) {
	if store == nil {
		return nil, errors.New("idemui: the store is nil")
	}
	config.Timeout = cmp.Or(config.Timeout, 2*time.Second)
	config.CountEvery = cmp.Or(config.CountEvery, 5*time.Second)
	switch {
	case config.Timeout < 10*time.Millisecond || config.Timeout > time.Minute:
		return nil, errors.New("idemui: Config.Timeout must be between 10ms and 1m")
	case config.CountEvery < 0 || config.CountEvery > time.Hour:
		return nil, errors.New("idemui: Config.CountEvery must be between 0 and 1h")
	}
	h := &Handler{store: store, config: config, recorder: config.Recorder}
	if h.recorder == nil {
		h.recorder, _ = store.Config().Tracer.(*Recorder)
	}
	h.pages = http.NewCrossOriginProtection().Handler(http.HandlerFunc(h.serve))
	return h, nil
}

// ServeHTTP answers with a page.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	h.pages.ServeHTTP(w, r)
}

// protect has a browser run nothing, load nothing from elsewhere, keep nothing, tell
// nobody where it was, and be in nobody's frame.
func protect(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	// With no-referrer a browser would say that a form comes from nowhere.
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// maxForm is more than a scope and a key can take, percent-encoded.
const maxForm = 16 << 10

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "" && !strings.HasSuffix(sentPath(r), "/") {
		addSlash(w, r)
		return
	}
	get, post := h.page(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	switch {
	case get == nil:
		h.fail(w, http.StatusNotFound, "There is no such page.")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		get(w, r)
	case r.Method != http.MethodPost || post == nil:
		w.Header().Set("Allow", allowed(post != nil))
		h.fail(w, http.StatusMethodNotAllowed, "This page cannot be asked for in that way.")
	default:
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		post(w, r)
	}
}

// page returns what serves a page by its name, and what answers its form.
func (h *Handler) page(name string) (get, post http.HandlerFunc) {
	switch name {
	case "":
		return h.overview, nil
	case "search":
		return h.search, nil
	case "key":
		return toSearch, h.findKey
	case "scope":
		return toSearch, h.findScope
	case "style.css":
		return asset("style.css", "text/css; charset=utf-8"), nil
	case "icon.svg":
		return asset("icon.svg", "image/svg+xml"), nil
	}
	return nil, nil
}

func allowed(post bool) string {
	if post {
		return "GET, HEAD, POST"
	}
	return "GET, HEAD"
}

// toSearch is for who comes back to the address of an answer: what was asked for was
// in the form, and is gone.
func toSearch(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", "search")
	w.WriteHeader(http.StatusSeeOther)
}

// addSlash sends who has left out the slash after the prefix to where relative links
// work. StripPrefix has taken the prefix away, so its last part is looked up in what
// was sent.
func addSlash(w http.ResponseWriter, r *http.Request) {
	last := (&url.URL{Path: "./" + path.Base(sentPath(r)) + "/"}).EscapedPath()
	w.Header().Set("Location", last)
	w.WriteHeader(http.StatusPermanentRedirect)
}

// sentPath is the path with its prefix.
func sentPath(r *http.Request) string {
	sent, _, _ := strings.Cut(r.RequestURI, "?")
	return sent
}
