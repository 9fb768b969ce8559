package page

import (
	"context"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browser is the one Chromium of these tests; each has tabs of its own, that share
// nothing with those of others.
var browser chromium

type chromium struct {
	once sync.Once
	ctx  context.Context // chromedp's handle of a browser
	err  error
	end  []context.CancelFunc
}

func (c *chromium) start(program string) {
	// Root gets no sandbox, nor do others in many a container. It sees pages of these tests.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.WSURLReadTimeout(2*time.Minute))
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	c.end = append(c.end, end)
	c.ctx, end = chromedp.NewContext(allocator)
	c.end = append(c.end, end)
	c.err = chromedp.Do(c.ctx)
}

func (c *chromium) close() {
	if c.ctx != nil {
		_ = chromedp.Cancel(c.ctx) // which waits for the process
	}
	for _, end := range c.end {
		end()
	}
}

// tool returns the path of a program from a Debian package. Without it the test is
// skipped, unless IDEMTX_TOOLS says that it is required.
func tool(tb testing.TB, program, debian string) string {
	tb.Helper()
	found, err := exec.LookPath(program)
	if err != nil && os.Getenv("IDEMTX_TOOLS") != "required" {
		tb.Skipf("%s is missing: apt-get install %s", program, debian)
	}
	require.NoError(tb, err, "apt-get install %s", debian)
	return found
}

// tab is a page in the browser, and what it has complained about.
type tab struct {
	tb  testing.TB
	ctx context.Context // chromedp's handle of a tab

	mu         sync.Mutex
	complaints []string
}

func newTab(tb testing.TB) *tab {
	tb.Helper()
	program := tool(tb, "chromium", "chromium")
	browser.once.Do(func() { browser.start(program) })
	require.NoError(tb, browser.err)
	t := &tab{tb: tb}
	ctx, cancel := context.WithTimeout(browser.ctx, 5*time.Minute)
	tb.Cleanup(cancel)
	t.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(t.listen))
	tb.Cleanup(cancel)
	t.do(chromedp.EmulateViewport(1280, 900))
	return t
}

// listen hears of what goes to the console: errors of scripts, and what the
// Content-Security-Policy forbids.
func (t *tab) listen(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		// That a page has been answered with 422 is no complaint about the page.
		if e.Entry.Source != log.EntrySourceNetwork || path.Ext(e.Entry.URL) != "" {
			t.complaints = append(t.complaints, e.Entry.Text)
		}
	case *runtime.EventExceptionThrown:
		t.complaints = append(t.complaints, e.ExceptionDetails.Text)
	}
}

func (t *tab) heard() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.complaints...)
}

func (t *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	t.tb.Helper()
	require.NoError(t.tb, chromedp.Do(t.ctx, steps...))
}

func (t *tab) open(url string) { t.tb.Helper(); t.do(chromedp.Navigate(url)) }

// eval returns what an expression has for value. The page has no script of its own.
func eval[T any](t *tab, expression string) T {
	t.tb.Helper()
	value, err := chromedp.Run(t.ctx, chromedp.Evaluate[T](expression))
	require.NoError(t.tb, err, expression)
	return value
}

// prefer sets the reader's colour scheme.
func (t *tab) prefer(scheme string) {
	t.tb.Helper()
	_, err := chromedp.Call(t.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(t.tb, err)
}

// press sends keys one by one, as a keyboard does.
func (t *tab) press(keys ...string) {
	t.tb.Helper()
	for _, k := range keys {
		t.do(chromedp.KeyEvent(k))
	}
}

// pressForPage presses a key that leads to another page, and waits for it.
func (t *tab) pressForPage(key string) {
	t.tb.Helper()
	_, err := chromedp.RunResponse(t.ctx, chromedp.KeyEvent(key))
	require.NoError(t.tb, err)
}

func (t *tab) title() string {
	t.tb.Helper()
	title, err := chromedp.Run(t.ctx, chromedp.Title())
	require.NoError(t.tb, err)
	return title
}

// picture leaves a screenshot of the whole page.
func (t *tab) picture(name string) {
	t.tb.Helper()
	image, err := chromedp.Run(t.ctx, chromedp.FullScreenshot(100))
	require.NoError(t.tb, err)
	folder := os.Getenv("IDEMTX_ARTIFACTS")
	if folder == "" {
		folder = t.tb.ArtifactDir()
	}
	assert.NoError(t.tb, os.MkdirAll(folder, 0o755))
	assert.NoError(t.tb, os.WriteFile(filepath.Join(folder, name+".png"), image, 0o644))
}
