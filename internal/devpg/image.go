package devpg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// Silence ends a pull, not its length. A first run on a slow line downloads for
// minutes and reports it several times a second; no time limit would let it end
// and still give up a dead registry within seconds.
const (
	// firstWord is what a registry that swallows everything costs. Docker says
	// nothing until it has the manifest, which takes about a second, or five
	// more when the first query for the host's address is lost.
	firstWord = 6 * time.Second

	// nextWord is longer, because the layers come from other hosts, and storing
	// a large one is a quiet time too.
	nextWord = 20 * time.Second
)

var errSilent = errors.New("nothing comes from its registry")

// pullImages makes sure that the engine has image, and the reaper's own unless
// it is disabled. testcontainers would pull them too, but tries for a quarter
// of an hour when the registry does not answer.
func pullImages(ctx context.Context, cli *client.Client, image string) error {
	if err := ensure(ctx, cli, image); err != nil {
		return err
	}
	if testcontainers.ReadConfig().Config.RyukDisabled {
		return nil
	}
	//nolint:staticcheck // deprecated, but there is no other way to the name
	if err := ensure(ctx, cli, testcontainers.ReaperDefaultImage); err != nil {
		return fmt.Errorf("%w (TESTCONTAINERS_RYUK_DISABLED=true does without the reaper, "+
			"and leaves the container of a killed process behind)", err)
	}
	return nil
}

// ensure pulls image unless the engine has it. An image that needs a login has
// to be pulled by hand, which is what the error tells to do.
func ensure(ctx context.Context, cli *client.Client, image string) error {
	_, err := cli.ImageInspect(ctx, image)
	if errdefs.IsNotFound(err) {
		err = pull(ctx, cli, image)
	}
	if err != nil {
		return fmt.Errorf("docker pull %s: %w", image, err)
	}
	return nil
}

// pull gives up when nothing happens.
func pull(ctx context.Context, cli *client.Client, image string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(firstWord, func() { cancel(errSilent) })
	defer silent.Stop()

	err := download(ctx, cli, image, func() { silent.Reset(nextWord) })
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// download pulls image and calls progress for each report of it.
func download(ctx context.Context, cli *client.Client, image string, progress func()) error {
	resp, err := cli.ImagePull(ctx, image, client.ImagePullOptions{})
	if err != nil {
		return err
	}
	defer resp.Close()
	for msg, err := range resp.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if msg.Error != nil {
			return msg.Error
		}
		progress()
	}
	return nil
}
