package devpg

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// Silence ends a pull, not its length: an image on a slow line may take minutes
// and reports its progress several times a second.
const (
	// firstWord is what a registry that swallows everything costs. Docker says
	// nothing until it has the manifest, which takes about a second.
	firstWord = 6 * time.Second

	// nextWord is longer, because the layers come from other hosts, and storing
	// a large one is a quiet time too.
	nextWord = 20 * time.Second
)

// pullImages makes sure that the engine has image, and the reaper's own unless
// it is disabled. testcontainers would pull them too, but tries for a quarter
// of an hour when the registry does not answer.
func pullImages(ctx context.Context, cli *testcontainers.DockerClient, image string) error {
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return err
	}
	defer provider.Close()
	config := provider.Config()
	prefix := config.Config.HubImageNamePrefix

	if err := ensure(ctx, cli.Client, withPrefix(prefix, image)); err != nil {
		return err
	}
	if config.RyukDisabled {
		return nil
	}
	//nolint:staticcheck // deprecated, but there is no other way to the name
	err = ensure(ctx, cli.Client, withPrefix(prefix, testcontainers.ReaperDefaultImage))
	if err != nil {
		return fmt.Errorf("%w (TESTCONTAINERS_RYUK_DISABLED=true does without the reaper, "+
			"and leaves the container of a killed process behind)", err)
	}
	return nil
}

// withPrefix is the name under which testcontainers asks for image: an image of
// Docker Hub that does not name its host gets the mirror's prefix.
func withPrefix(prefix, image string) string {
	ref, err := reference.ParseNormalizedNamed(image)
	if prefix == "" || err != nil || image == ref.String() || reference.Domain(ref) != "docker.io" {
		return image
	}
	return path.Join(prefix, image)
}

// ensure pulls image unless the engine has it.
func ensure(ctx context.Context, cli *client.Client, image string) error {
	_, err := cli.ImageInspect(ctx, image)
	if errdefs.IsNotFound(err) {
		err = pull(ctx, cli, image, registryAuth(ctx, image))
	}
	if err != nil {
		return fmt.Errorf("image %s: %w", image, err)
	}
	return nil
}

// pull gives up when nothing happens.
func pull(ctx context.Context, cli *client.Client, image, auth string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(firstWord, func() {
		cancel(fmt.Errorf("nothing comes from its registry; see why with: docker pull %s", image))
	})
	defer silent.Stop()

	err := download(ctx, cli, image, auth, func() { silent.Reset(nextWord) })
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// registryAuth is what the user's docker login left for the registry of image.
// Without it, or when it cannot be read, the image has to be a public one.
func registryAuth(ctx context.Context, image string) string {
	_, auth, err := testcontainers.DockerImageAuth(ctx, image)
	if err != nil {
		return ""
	}
	encoded, err := authconfig.Encode(auth)
	if err != nil {
		return ""
	}
	return encoded
}

// download pulls image and calls progress for each report of it.
func download(ctx context.Context, cli *client.Client, image, auth string, progress func()) error {
	resp, err := cli.ImagePull(ctx, image, client.ImagePullOptions{RegistryAuth: auth})
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
