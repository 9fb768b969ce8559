package idemui

import (
	"bytes"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"time"
)

//go:embed page
var files embed.FS

var functions = template.FuncMap{
	"number": number[int64],
	"count":  number[int],
	"size":   size,
	"span":   span,
	"moment": moment,
}

var (
	overviewPage = parse("overview", "chart", "state")
	searchPage   = parse("search")
	keyPage      = parse("key", "state")
	scopePage    = parse("scope", "state")
	failurePage  = parse("failure")
)

// parse returns a page within the layout. The first name is the page's, the others are
// of what it is made of.
func parse(names ...string) *template.Template {
	t := template.New("layout.html").Funcs(functions)
	template.Must(t.ParseFS(files, "page/layout.html"))
	for _, name := range names {
		template.Must(t.ParseFS(files, "page/"+name+".html"))
	}
	return t
}

// frame is what the layout shows around a page.
type frame struct {
	Title   string
	Current string        // the page's name, as the navigation has it
	Refresh time.Duration // 0: the page stays as it is
	Table   string
	Now     time.Time
	Page    any
}

// Ago is how long ago something was when the page was made.
func (f frame) Ago(t time.Time) string { return span(f.Now.Sub(t)) }

// Until is how long it was until then.
func (f frame) Until(t time.Time) string { return span(t.Sub(f.Now)) }

// Past tells what was over when the page was made.
func (f frame) Past(t time.Time) bool { return !t.After(f.Now) }

// Seconds is how often the page is to be asked for.
func (f frame) Seconds() int { return int(f.Refresh.Seconds()) }

func (h *Handler) frame(title, current string, page any) frame {
	config := h.store.Config()
	return frame{
		Title: title, Current: current, Table: config.Schema + "." + config.Table,
		Now: time.Now(), Page: page,
	}
}

// show answers with a page that is whole, or not at all.
func (h *Handler) show(w http.ResponseWriter, status int, t *template.Template, f frame) {
	var page bytes.Buffer
	if err := t.Execute(&page, f); err != nil {
		// A failed write is the only other error, and the buffer has none. The error
		// quotes no value: it names the template and the line.
		h.log("a page cannot be made", err)
		http.Error(w, "idemui: the page cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}

// fail answers with what is wrong, in words of its own.
func (h *Handler) fail(w http.ResponseWriter, status int, what string) {
	h.show(w, status, failurePage, h.frame(http.StatusText(status), "", what))
}

func (h *Handler) log(what string, err error) {
	h.store.Config().Logger.Error("idemui: "+what, slog.Any("error", err))
}

func asset(name, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		content, err := files.ReadFile("page/" + name)
		if err != nil {
			panic(err) // the file is embedded, so its name here is wrong
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content)
	}
}
