package idemhttp

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEachRunGetsTheRequestAnew: a run cannot spoil the next one's request.
func TestEachRunGetsTheRequestAnew(t *testing.T) {
	t.Parallel()
	h := &handling{request: post("/orders?a=1", "text/plain", ""), body: []byte("hello")}
	h.request.ContentLength, h.request.TransferEncoding = -1, []string{"chunked"}
	for range 2 {
		r := h.again(t.Context())
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, "hello", string(body))
		require.EqualValues(t, 5, r.ContentLength)
		require.Empty(t, r.TransferEncoding)
		require.Equal(t, "text/plain", r.Header.Get("Content-Type"))
		require.Equal(t, "/orders", r.URL.Path)
		r.Header.Set("Content-Type", "changed")
		r.URL.Path = "/changed"
	}
	h.body = nil
	require.Equal(t, http.NoBody, h.again(t.Context()).Body)
}

// TestFilesOfAFormAreRemoved, as net/http does with those of its own request.
func TestFilesOfAFormAreRemoved(t *testing.T) {
	t.Parallel()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "a.txt")
	require.NoError(t, err)
	_, err = part.Write(make([]byte, 1000))
	require.NoError(t, err)
	require.NoError(t, form.Close())

	var path string
	h := &handling{request: post("/", form.FormDataContentType(), ""), body: body.Bytes()}
	h.protection = new(Protection)
	h.handle = func(r *http.Request) (Response, error) {
		require.NoError(t, r.ParseMultipartForm(0)) // nothing in memory
		file, _, err := r.FormFile("file")
		require.NoError(t, err)
		path = file.(*os.File).Name()
		require.NoError(t, file.Close())
		require.FileExists(t, path)
		return Response{}, nil
	}
	_, err = h.serve(h.again(t.Context()))
	require.NoError(t, err)
	require.NoFileExists(t, path)
}
