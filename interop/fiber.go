package interop

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/idemtx/idemtx/idemhttp"
)

// Fiber protects a handler of fiber:
//
//	app.Post("/orders/:id", interop.Fiber(protection, createOrder))
//
// The handler has its transaction from idemhttp.Tx(c.Context()), not from c. Its
// error goes to the app's ErrorHandler before the transaction ends; an empty
// success as the answer to one is taken for a 500. A stream that it sends is read
// to its end before the transaction ends. Nothing that it sets in c is seen
// outside.
//
// The handler must not call c.End, c.Drop or SendEarlyHints, nor take the
// connection in another way: they send what may be undone, and cannot be kept from
// it.
//
// Multipart forms want fiber.Config{DisablePreParseMultipartForm: true}. Otherwise
// the body has been taken apart, and is put together in an order that is another
// one in each retry. So they are refused.
//
// Do not use the adaptor middleware of fiber with idemhttp. HTTPMiddleware calls
// the handler when the middleware has returned, which is after the commit of an
// empty 200. HTTPHandler and ConvertRequest keep one value of a header that was
// sent twice, and their strings are the connection's memory, while idemtx still
// has the key when other requests wait for it.
func Fiber(p *idemhttp.Protection, handle fiber.Handler) fiber.Handler {
	return func(c fiber.Ctx) error {
		r, err := fiberRequest(c)
		switch {
		case err != nil:
			return err
		case !p.Protects(r):
			return handle(c)
		}
		fiberDo(c, p, r, handle).Send(&fiberWriter{to: c.Response(), header: make(http.Header)})
		return nil
	}
}

// FiberHTTP protects a handler of net/http in fiber. The context of its requests
// is c.Context, without the values of c.Locals.
func FiberHTTP(p *idemhttp.Protection, handle http.Handler) fiber.Handler {
	protected := p.Handler(handle)
	return func(c fiber.Ctx) error {
		r, err := fiberRequest(c)
		if err != nil {
			return err
		}
		w := &fiberWriter{to: c.Response(), header: make(http.Header)}
		protected.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		return nil
	}
}

var errFiberForm = errors.New("interop: multipart forms want fiber.Config{DisablePreParseMultipartForm: true}")

// fiberRequest copies the request of c. Its context is the one that middleware
// may have set, as that of fasthttp is of another request after this one.
func fiberRequest(c fiber.Ctx) (*http.Request, error) {
	from := c.Request()
	target := string(from.Header.RequestURI())
	parsed, err := url.ParseRequestURI(target)
	switch {
	case err != nil:
		return nil, fiber.ErrBadRequest
	case len(from.Header.MultipartFormBoundary()) > 0 && !c.App().Config().DisablePreParseMultipartForm:
		return nil, errFiberForm
	}
	r := &http.Request{
		Method: string(from.Header.Method()), URL: parsed, RequestURI: target, Host: string(from.Host()),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), ContentLength: int64(from.Header.ContentLength()),
		RemoteAddr: c.RequestCtx().RemoteAddr().String(), TLS: c.RequestCtx().TLSConnectionState(),
	}
	for name, value := range from.Header.All() {
		r.Header.Add(string(name), string(value))
	}
	if from.IsBodyStream() {
		r.Body = io.NopCloser(from.BodyStream())
	} else {
		r.Body = io.NopCloser(bytes.NewReader(from.Body()))
	}
	return r.WithContext(c.Context()), nil
}

// fiberDo returns the response to r, and c as it was: after a panic, too.
func fiberDo(c fiber.Ctx, p *idemhttp.Protection, r *http.Request, handle fiber.Handler) idemhttp.Response {
	before := fiberSave(c)
	defer before.restore(c)
	return p.Do(r, func(r *http.Request) idemhttp.Response {
		before.restore(c)
		c.Response().Reset() // what is set outside is no part of what is stored
		body, _ := io.ReadAll(r.Body)
		c.Request().SetBody(body)
		c.SetContext(r.Context())
		return fiberRun(c, handle)
	})
}

// fiberRun makes a response of what handle does.
func fiberRun(c fiber.Ctx, handle fiber.Handler) idemhttp.Response {
	response := c.Response()
	err := handle(c)
	if err == nil {
		err = fiberDrain(response)
	}
	if err != nil {
		unanswered := c.App().ErrorHandler(c, err) != nil
		if unanswered || response.StatusCode() < http.StatusBadRequest && len(response.Body()) == 0 {
			_ = c.SendStatus(http.StatusInternalServerError)
		}
	}
	body := bytes.Clone(response.Body())
	response.Header.SetNoDefaultContentType(len(body) == 0)
	header := make(http.Header)
	for name, value := range response.Header.All() {
		header.Add(string(name), string(value))
	}
	return idemhttp.Response{Status: response.StatusCode(), Header: header, Body: body}
}

// fiberDrain reads the stream that response has. Response.Body does as well, but
// takes the text of an error for the body.
func fiberDrain(response *fasthttp.Response) error {
	stream := response.BodyStream()
	if stream == nil {
		return nil
	}
	body, err := io.ReadAll(stream)
	if err != nil {
		body = nil
	}
	response.SetBody(body)
	return err
}

// fiberWriter writes to a response of fiber. Headers that middleware has set stay
// unless the handler has them, too; Set-Cookie and Vary add up.
type fiberWriter struct {
	to     *fasthttp.Response
	header http.Header
	wrote  bool
}

func (w *fiberWriter) Header() http.Header { return w.header }

func (w *fiberWriter) WriteHeader(status int) {
	if w.wrote {
		return
	}
	w.wrote = true
	w.to.SetStatusCode(status)
	for name := range w.header {
		if name != "Set-Cookie" && name != "Vary" {
			w.to.Header.Del(name)
		}
	}
	for name, values := range w.header { // after all of Del, which changes the order
		for _, value := range values {
			w.to.Header.Add(name, value)
		}
	}
}

func (w *fiberWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.to.AppendBody(p)
	return len(p), nil
}

// fiberState is what a run may change in a context.
type fiberState struct {
	header   fasthttp.RequestHeader
	response fasthttp.Response
	values   map[any]any
}

func fiberSave(c fiber.Ctx) *fiberState {
	s := &fiberState{values: fiberValues(c)}
	c.Request().Header.CopyTo(&s.header)
	c.Response().CopyTo(&s.response)
	return s
}

func (s *fiberState) restore(c fiber.Ctx) {
	s.header.CopyTo(&c.Request().Header)
	s.response.CopyTo(c.Response())
	for name := range fiberValues(c) {
		c.RequestCtx().RemoveUserValue(name)
	}
	for name, value := range s.values {
		c.RequestCtx().SetUserValue(name, value)
	}
}

func fiberValues(c fiber.Ctx) map[any]any {
	values := make(map[any]any)
	c.RequestCtx().VisitUserValuesAll(func(name, value any) { values[name] = value })
	return values
}
