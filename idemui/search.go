package idemui

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// maxFound is how many keys of a scope a page lists.
const maxFound = 100

// searchData is what the forms show: a key never, and who was asked for only with
// Config.ShowScopes.
type searchData struct {
	KeyError, ScopeError    string
	Wrong                   string // the field that KeyError is about
	Tenant, Principal, More string
}

func (h *Handler) search(w http.ResponseWriter, _ *http.Request) {
	h.show(w, http.StatusOK, searchPage, h.frame("Search", "search", &searchData{}))
}

// refuse shows the forms again, with what is wrong beside the one that was sent.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, data *searchData) {
	if h.config.ShowScopes {
		form := r.PostForm
		data.Tenant, data.Principal, data.More = form.Get("tenant"), form.Get("principal"), form.Get("more")
	}
	f := h.frame("Error: Search", "search", data)
	h.show(w, http.StatusUnprocessableEntity, searchPage, f)
}

// rule is the rule that a request breaks, as a sentence.
func rule(err error) string {
	text := strings.TrimPrefix(err.Error(), idemtx.ErrInvalidRequest.Error()+": ")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// fieldOf is the field that has the part of a scope that an error of [scope.New] is about.
func fieldOf(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "tenant"):
		return "tenant"
	case strings.Contains(text, "scope: part "):
		return "more"
	}
	return "principal"
}

// scopeData is what is shown of the keys of a scope.
type scopeData struct {
	LogID   string
	Entries []idemadmin.Entry
	More    bool // than the page lists
	Trouble *trouble
	Hashed  bool // what is shown of a key is of its hash
}

var logID = regexp.MustCompile(`^sha256:[0-9a-f]{12}$`)

func (h *Handler) findScope(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // what cannot be parsed has no scope in it
	asked := strings.ToLower(strings.TrimSpace(r.PostForm.Get("scope")))
	if !strings.Contains(asked, ":") {
		asked = "sha256:" + asked
	}
	if !logID.MatchString(asked) {
		h.refuse(w, r, &searchData{ScopeError: "A LogID is sha256: and 12 hexadecimal digits."})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.config.Timeout)
	defer cancel()
	found, err := idemadmin.Search(ctx, h.store, asked, maxFound+1)
	data := &scopeData{LogID: asked, Hashed: h.store.Config().KeySecret != nil}
	data.Trouble = troubleOf(h.logged("a scope cannot be searched for", err))
	data.Entries = found[:min(maxFound, len(found))]
	data.More = len(found) > maxFound
	h.show(w, statusOf(data.Trouble), scopePage, h.frame("Keys of a scope", "search", data))
}

// keyData is what is shown of one key.
type keyData struct {
	LogID   string
	Scope   string // as it was made, when Config.ShowScopes
	Key     string // redacted
	Status  idemadmin.Status
	Retry   []string
	Trouble *trouble

	ShowReplies bool
	Reply       *replyData // nil when there is none to show
}

func (h *Handler) findKey(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // what cannot be parsed has no key in it
	sc, key, err := asked(r)
	if err != nil {
		h.refuse(w, r, &searchData{KeyError: rule(err), Wrong: fieldOf(err)})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.config.Timeout)
	defer cancel()
	status, err := idemadmin.Look(ctx, h.store, sc, key)
	if errors.Is(err, idemtx.ErrInvalidRequest) {
		h.refuse(w, r, &searchData{KeyError: rule(err), Wrong: "key"})
		return
	}
	data := &keyData{
		LogID: sc.LogID(), Key: redact(key), Status: status, ShowReplies: h.config.ShowReplies,
		Retry: retry(status, h.store.Config()), Trouble: troubleOf(h.logged("a key cannot be looked up", err)),
	}
	if h.config.ShowScopes {
		data.Scope = parts(sc)
	}
	if h.config.ShowReplies && live(status) {
		data.Reply = h.reply(ctx, sc, key)
	}
	h.show(w, statusOf(data.Trouble), keyPage, h.frame("One key", "search", data))
}

// asked returns what was put into the form. A line end cannot be a part of a scope, so
// that each further part has a line.
func asked(r *http.Request) (scope.Scope, string, error) {
	form := r.PostForm
	var more []string
	for line := range strings.Lines(form.Get("more")) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			more = append(more, line)
		}
	}
	sc, err := scope.New(form.Get("tenant"), form.Get("principal"), more...)
	return sc, form.Get("key"), err
}

func statusOf(t *trouble) int {
	if t != nil {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// redact is what may be shown of a key.
func redact(key string) string {
	if len(key) <= 8 {
		return "****"
	}
	return key[:8] + "…"
}

// parts writes a scope as it was made.
func parts(sc scope.Scope) string { return strings.ReplaceAll(sc.Key(), "\x1e", " / ") }
