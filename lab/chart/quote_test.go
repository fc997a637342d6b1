package chart_test

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// awkward are the arguments for values that would be taken for something else than the text that they are.
func awkward() []string {
	return []string{"--values=" + filepath.Join("testdata", "awkward.values.yaml")}
}

// TestArgumentsAreWhatWasWritten, to the letter, when Kubernetes has put in its variables.
func TestArgumentsAreWhatWasWritten(t *testing.T) {
	arguments := asList(find(t, template(t, awkward()...), "Deployment", "true-dispatcher").at("spec", "template", "spec", "containers", 0, "args"))
	for _, want := range []string{
		"--db-user=a: b", "--db-name=multi #nic$$(NODE)$$", "--audience=true", "--node-suffixes=.a:b,.#c", "--db-password-file=/run/secrets/database/123",
	} {
		if !slices.Contains(arguments, any(want)) {
			t.Errorf("%q is not among the arguments %q", want, arguments)
		}
	}
}

// TestTextIsText: where Kubernetes wants text, nothing else is rendered, whatever it looks like.
func TestTextIsText(t *testing.T) {
	arguments := append(awkward(), "--namespace=123")
	decoder := yaml.NewDecoder(strings.NewReader(template(t, arguments...)))
	checked := map[string]bool{}
	for {
		var one any
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		checkText(t, "", one, checked)
	}
	for _, key := range []string{"name", "namespace", "args", "labels", "matchLabels", "audience", "priorityClassName", "key"} {
		if !checked[key] {
			t.Errorf("nothing rendered has a %s", key)
		}
	}
}

// checkText looks at all below a path for what must be text.
func checkText(t *testing.T, path string, value any, checked map[string]bool) {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		for key, below := range value {
			here := path + "/" + key
			switch key {
			case "name", "namespace", "serviceAccountName", "priorityClassName", "secretName", "image", "audience", "key", "path", "commonName":
				mustBeText(t, here, below)
				checked[key] = true
			case "labels", "matchLabels", "nodeSelector", "annotations":
				for label, text := range asMap(below) {
					mustBeText(t, here+"/"+label, text)
				}
				checked[key] = true
			case "args":
				for _, text := range asList(below) {
					mustBeText(t, here, text)
				}
				checked[key] = true
			}
			checkText(t, here, below, checked)
		}
	case []any:
		for index, below := range value {
			checkText(t, fmt.Sprint(path, "/", index), below, checked)
		}
	}
}

func mustBeText(t *testing.T, path string, value any) {
	t.Helper()
	if _, ok := value.(string); !ok {
		t.Errorf("%s is %v, a %T", path, value, value)
	}
}

// TestAnImageCanBeThisVeryOne, by its digest, beside the tag that says what it was.
func TestAnImageCanBeThisVeryOne(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	rendered := template(t, enough("image.registry=registry.test:5000/team", "image.tag=v1", "executor.imageDigest="+digest)...)
	for suffix, want := range map[string]string{
		"DaemonSet -executor":    "registry.test:5000/team/multinic-executor:v1@" + digest,
		"Deployment -dispatcher": "registry.test:5000/team/multinic-dispatcher:v1",
	} {
		kind, name, _ := strings.Cut(suffix, " ")
		if got := find(t, rendered, kind, name).text("spec", "template", "spec", "containers", 0, "image"); got != want {
			t.Errorf("%s runs %s, and should %s", name, got, want)
		}
	}
}

// TestAReleaseThatCannotNameAServiceIsRefused, with what to do; a name of one's own mends it.
func TestAReleaseThatCannotNameAServiceIsRefused(t *testing.T) {
	for _, release := range []string{"1fleet", "fleet.one"} {
		arguments := append([]string{"template", release, chart, "--kube-version=1.32.0"}, enough()...)
		if _, complaint, failed := helm(t, arguments...); !failed || !strings.Contains(complaint, "write fullnameOverride") {
			t.Errorf("the release %s should be refused; helm says %s", release, complaint)
		}
		if _, complaint, failed := helm(t, append(arguments, "--set=fullnameOverride=fleet")...); failed {
			t.Errorf("the release %s is refused with a name of its own: %s", release, complaint)
		}
	}
}

// TestTimesThatAreRightAreTaken: the patterns refuse no more than they should.
func TestTimesThatAreRightAreTaken(t *testing.T) {
	for set, want := range map[string]string{
		"dispatcher.pollInterval=10ms":  "--poll-interval=10ms",
		"dispatcher.pollInterval=0.5s":  "--poll-interval=0.5s",
		"dispatcher.pollInterval=0.01s": "--poll-interval=0.01s",
		"dispatcher.pollInterval=1.5s":  "--poll-interval=1.5s",
		"dispatcher.pollInterval=1m30s": "--poll-interval=1m30s",
		"agent.pollInterval=999999":     "--poll-interval=999999s",
		"agent.pollInterval=2m":         "--poll-interval=2m",
		"agent.pollInterval=":           "--poll-interval=1s",
		"dispatcher.guardShare=100%":    "--guard-share=100%",
		"dispatcher.guardShare=0%":      "--guard-share=0%",
		"dispatcher.guardShare=12.5%":   "--guard-share=12.5%",
		"executor.confirmTimeout=60s":   "--confirm-timeout=60s",
		"executor.confirmTimeout=500ms": "--confirm-timeout=500ms",
	} {
		if rendered := template(t, enough(set, "tls.mode=existingSecret", "tls.existingSecret=tls", "tls.existingCAConfigMap=ca")...); !strings.Contains(rendered, `- "`+want+"\"\n") {
			t.Errorf("%s does not lead to %s", set, want)
		}
	}
}
