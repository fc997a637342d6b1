package workshop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/sandbox"
)

// preparing is how long it may take to prepare everything where nothing is kept from earlier runs.
const preparing = 30 * time.Minute

// stockEnv tells a suite what has been prepared for it, as JSON of a stock.
const stockEnv = "MULTINIC_WORKSHOP"

// stock is what workshops are made of.
type stock struct {
	// Why is why there is nothing, if it is not empty.
	Why string `json:"why"`
	// Source, Tree, Base, GoRoot and Nerdctl are folders: the repository, the root tree, the base image's context, the machine's Go, and what
	// Debian does not bring.
	Source  string `json:"source"`
	Tree    string `json:"tree"`
	Base    string `json:"base"`
	GoRoot  string `json:"goRoot"`
	Nerdctl string `json:"nerdctl"`
	// Group is the suite's control group, below the folder Unified of the unified hierarchy.
	Unified string `json:"unified"`
	Group   string `json:"group"`
}

// Fixture prepares all that workshops need while there is a network: outside of the sandbox, before the suite enters it. Modules are the
// folders of the modules that will be built, each with GOWORK=off, for machines of Arches. What is prepared is kept in the cache by what it
// is made of; a control group, in which docker puts what it starts, is removed when the suite has ended, however it did.
func Fixture(modules ...string) sandbox.Fixture {
	return func() (end func() error, err error) {
		ctx, cancel := context.WithTimeout(context.Background(), preparing)
		defer cancel()
		s, err := prepare(ctx, modules)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("say what was prepared: %w", err)
		}
		if err := os.Setenv(stockEnv, string(text)); err != nil {
			return nil, errors.Join(err, s.remove())
		}

		return s.remove, nil
	}
}

func prepare(ctx context.Context, modules []string) (s stock, err error) {
	if !sandbox.RealRoot() {
		return stock{Why: "docker and its like need root of the machine: run this test as root (with sudo)"}, nil
	}
	here, err := goCommand(ctx, ".", nil, "list", "-f", "{{.Dir}}", "multinic.dev/lab/workshop")
	if err != nil {
		return stock{}, err
	}
	s.Source = filepath.Join(here, "../..")
	s.Tree, err = debian.Tree(ctx, debian.Trixie,
		debian.WithPackages("docker.io", "docker-cli", "docker-buildx", "podman", "buildah", "containerd", "docker-registry", "busybox-static"))
	if errors.Is(err, debian.ErrNoArchive) {
		return stock{Why: err.Error()}, nil
	}
	if err != nil {
		return stock{}, err
	}
	if s.GoRoot, err = goRootOf(ctx); err != nil {
		return stock{}, err
	}
	if s.Base, err = base(ctx, s, modules); err != nil {
		return stock{}, err
	}
	if s.Nerdctl, err = nerdctl(ctx, here); err != nil {
		return stock{}, err
	}
	s.Unified, s.Group, err = makeGroup()

	return s, err
}

// prepared is what Fixture has prepared, or why there is nothing.
func prepared() (stock, error) {
	text, ok := os.LookupEnv(stockEnv)
	if !ok {
		return stock{}, errors.New("nothing was prepared: the suite's TestMain has no workshop.Fixture")
	}
	var s stock
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return stock{}, fmt.Errorf("read what was prepared: %w", err)
	}
	if s.Why != "" {
		return stock{}, errors.New(s.Why)
	}

	return s, nil
}

func (s stock) remove() error {
	if s.Group == "" {
		return nil
	}

	return removeGroup(s.Unified + s.Group)
}
