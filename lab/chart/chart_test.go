// Package chart_test holds the Helm chart to what is promised of it, without a cluster: what it renders, and what it refuses.
package chart_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"multinic.dev/lab/confine"
	"multinic.dev/lab/golden"
)

const (
	chart = "../../deploy/helm/multinic"
	// helmEnv is the variable that says where helm is.
	helmEnv = "HELM"
)

// helm runs helm with an environment of its own, and returns what it printed and whether it failed.
func helm(t *testing.T, arguments ...string) (stdout, stderr string, failed bool) {
	t.Helper()
	path := os.Getenv(helmEnv)
	if path == "" {
		t.Skip("the chart is tested by make test-chart, which brings helm")
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), path, arguments...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run helm: %v", err)
	}

	return out.String(), complaint.String(), err != nil
}

// template renders the chart as the release fleet in the namespace nets, and ends the test if that fails.
func template(t *testing.T, arguments ...string) string {
	t.Helper()
	out, complaint, failed := helm(t, append([]string{"template", "fleet", chart, "--namespace=nets", "--kube-version=1.32.0"}, arguments...)...)
	if failed {
		t.Fatalf("helm template %q: %s", arguments, complaint)
	}

	return out
}

// enough are the values without which there is no installation; more of them follow.
func enough(more ...string) []string {
	all := slices.Concat([]string{"database.host=db.test", "database.user=reader", "database.name=nics", "database.existingSecret=db"}, more)
	arguments := make([]string, 0, len(all))
	for _, one := range all {
		arguments = append(arguments, "--set="+one)
	}

	return arguments
}

func TestLintFindsNothing(t *testing.T) {
	out, complaint, failed := helm(t, append([]string{"lint", "--strict", chart}, enough()...)...)
	if failed {
		t.Errorf("%s%s", out, complaint)
	}
}

// TestGolden compares all that the chart renders. The Secret is somebody else's, since one that is generated is another each time.
func TestGolden(t *testing.T) {
	for _, name := range []string{"small", "large", "predecessor"} {
		t.Run(name, func(t *testing.T) {
			golden.Want(t, name+".yaml", template(t, "--values="+filepath.Join("testdata", name+".values.yaml")))
		})
	}
}

// TestWhatCannotBeIsRefused by its name.
func TestWhatCannotBeIsRefused(t *testing.T) {
	for _, one := range []struct{ set, want string }{
		{"database.port=70000", "/database/port"},
		{"database.port=many", "/database/port"},
		{"database.pasword=x", "pasword"},
		{"database.existingSecret=", "database.password and database.existingSecret are both empty"},
		{"database.password=x", "database.password and database.existingSecret are both set"},
		{"database.host=", "database.host is empty"},
		{"database.user=", "database.user is empty"},
		{"database.name=", "database.name is empty"},
		{"executor.backend=ifupdown", "/executor/backend"},
		{"executor.mode=observ", "/executor/mode"},
		{"executor.maxUnavailable=0", "/executor/maxUnavailable"},
		{"dispatcher.pollInterval=1", "/dispatcher/pollInterval"},
		{"dispatcher.guardShare=20", "/dispatcher/guardShare"},
		{"dispatcher.replicas=2", "replicas"},
		{"agent.pollInterval=soon", "/agent/pollInterval"},
		{"tls.mode=none", "/tls/mode"},
		{"tls.days=36501", "/tls/days"}, // Helm's functions count in nanoseconds, of which there are not enough for three centuries.
		{"tls.mode=existingSecret,tls.ca=x", "tls.existingSecret is empty"},
		{"tls.mode=existingSecret,tls.existingSecret=x", "tls.ca and tls.existingCAConfigMap are both empty"},
		{"tls.mode=certManager,tls.ca=x", "tls.issuerRef is empty"},
		{"image.pullPolicy=Sometimes", "/image/pullPolicy"},
		{"networkPolicy.from={10.0.0.1}", "/networkPolicy/from/0"},
		{"database.user= ", "/database/user"},
		{"database.name=nics ", "/database/name"},
		{"database.existingSecret=Own", "/database/existingSecret"},
		{"database.existingSecretKey=..", "/database/existingSecretKey"},
		{"audience=a\\, b", "/audience"},
		{"audience=", "/audience"},
		{"image.tag=v1@sha256:0", "/image/tag"},
		{"image.pullSecrets={a b}", "/image/pullSecrets/0"},
		{"dispatcher.image=multinic-dispatcher:v1", "/dispatcher/image"},
		{"dispatcher.imageDigest=sha256:beef", "/dispatcher/imageDigest"},
		{"executor.imageDigest=" + strings.Repeat("a", 64), "/executor/imageDigest"},
		{"dispatcher.nodeSuffixes={novalocal}", "/dispatcher/nodeSuffixes/0"},
		{"dispatcher.nodeSuffixes={.}", "/dispatcher/nodeSuffixes/0"},
		{"dispatcher.pollInterval=1ms", "/dispatcher/pollInterval"},
		{"dispatcher.pollInterval=0s", "/dispatcher/pollInterval"},
		{"dispatcher.pollInterval=0.009s", "/dispatcher/pollInterval"},
		{"agent.pollInterval=0s", "/agent/pollInterval"},
		{"agent.pollInterval=0", "/agent/pollInterval"},
		{"agent.pollInterval=1000000", "/agent/pollInterval"},
		{"dispatcher.guardShare=500%", "/dispatcher/guardShare"},
		{"dispatcher.guardShare=100.1%", "/dispatcher/guardShare"},
		{"dispatcher.nodeSelector.fast=true", "/dispatcher/nodeSelector/fast"},
		{"executor.podAnnotations.number=1", "/executor/podAnnotations/number"},
		{"executor.confirmTimeout=0s", "/executor/confirmTimeout"},
		{"executor.confirmTimeout=61s", "/executor/confirmTimeout"},
		{"executor.priorityClassName=a b", "/executor/priorityClassName"},
		{"metrics.serviceMonitor.interval=1.5s", "/metrics/serviceMonitor/interval"},
		{"networkPolicy.metricsNamespaces[0].name=x", "/networkPolicy/metricsNamespaces/0"},
		{"fullnameOverride=-", "/fullnameOverride"},
		{"fullnameOverride=1a", "/fullnameOverride"},
		{"fullnameOverride=" + strings.Repeat("a", 41), "/fullnameOverride"},
		{"nameOverride=a-", "/nameOverride"},
		{"tls.existingCAConfigMap=own", "tls.mode is generate"},
		{"tls.ca=own", "tls.mode is generate"},
		{"tls.existingSecret=own", "tls.mode is generate"},
		{"tls.issuerRef.name=internal", "tls.issuerRef is set, and tls.mode is generate"},
		{"tls.mode=existingSecret,tls.existingSecret=x,tls.ca=x,tls.issuerRef.name=internal", "tls.issuerRef is set, and tls.mode is existingSecret"},
		{"tls.mode=certManager,tls.issuerRef.name=internal,tls.ca=x,tls.existingSecret=x", "tls.existingSecret is set, and tls.mode is certManager"},
		{"tls.mode=certManager,tls.issuerRef.name=internal,tls.ca=x,tls.days=30", "tls.days is set, and tls.mode is certManager"},
		{"tls.mode=existingSecret,tls.existingSecret=x,tls.ca=x,tls.days=30", "tls.days is set, and tls.mode is existingSecret"},
		{"database.existingSecret=,database.password=x,database.existingSecretKey=other", "database.existingSecretKey is set, and database.existingSecret is empty"},
		{"executor.activation=manager,executor.backend=netlink", "executor.activation is manager, and executor.backend netlink"},
		{"executor.takeDHCP=true,executor.backend=netlink", "executor.takeDHCP is set"},
		{"executor.takeDHCP=true,executor.activation=kernel", "executor.takeDHCP is set"},
		{"tls.mode=existingSecret,tls.existingSecret=x,tls.ca=x,tls.existingCAConfigMap=x", "tls.ca and tls.existingCAConfigMap are both set"},
		{"networkPolicy.apiServerPorts={https}", "/networkPolicy/apiServerPorts/0"},
		{"networkPolicy.apiServerPorts={}", "/networkPolicy/apiServerPorts"},
		{"networkPolicy.databasePorts={0}", "/networkPolicy/databasePorts/0"},
		{"networkPolicy.extraEgress[0].port=1", "/networkPolicy/extraEgress/0"},
	} {
		t.Run(one.set, func(t *testing.T) {
			out, complaint, failed := helm(t, append([]string{"template", "fleet", chart, "--kube-version=1.32.0"}, enough(one.set)...)...)
			// Helm has written a path of a schema with dots and with slashes.
			if said := out + complaint; !failed || !strings.Contains(said, one.want) && !strings.Contains(said, dotted(one.want)) {
				t.Errorf("it should be refused with %q; helm says\n%s", one.want, said)
			}
		})
	}
	t.Run("an old cluster", func(t *testing.T) {
		_, complaint, failed := helm(t, append([]string{"template", "fleet", chart, "--kube-version=1.29.0"}, enough()...)...)
		if !failed || !strings.Contains(complaint, "1.30") {
			t.Errorf("Kubernetes 1.29 should be refused; helm says %s", complaint)
		}
	})
}

func dotted(path string) string { return strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", ".") }

// object is one object of what the chart renders.
type object map[string]any

// find returns the only object of a kind whose name ends so.
func find(t *testing.T, rendered, kind, suffix string) object {
	t.Helper()
	var found []object
	for decoder := yaml.NewDecoder(strings.NewReader(rendered)); ; {
		var one object
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("read what helm has rendered: %v", err)
		}
		if one["kind"] == kind && strings.HasSuffix(one.text("metadata", "name"), suffix) {
			found = append(found, one)
		}
	}
	if len(found) != 1 {
		t.Fatalf("it renders %d of %s …%s, and should one", len(found), kind, suffix)
	}

	return found[0]
}

// at is what is at a path: keys of maps, and places in lists.
func (o object) at(path ...any) any {
	var here any = map[string]any(o)
	for _, step := range path {
		switch step := step.(type) {
		case string:
			here = asMap(here)[step]
		case int:
			here = asList(here)[step]
		}
	}

	return here
}

// text is the text at a path, or none.
func (o object) text(path ...any) string {
	text, _ := o.at(path...).(string)

	return text
}

func asList(value any) []any {
	list, _ := value.([]any)

	return list
}

func asMap(value any) map[string]any {
	switch value := value.(type) {
	case object:
		return value
	case map[string]any:
		return value
	default:
		return nil
	}
}

// TestAnExecutorGetsWhatItNeeds and nothing else: the capabilities and folders that lab/host has shown to be needed.
func TestAnExecutorGetsWhatItNeeds(t *testing.T) {
	set := find(t, template(t, enough()...), "DaemonSet", "-executor")
	var capabilities []any
	for _, one := range confine.Capabilities() {
		capabilities = append(capabilities, one.Name)
	}
	if got := set.at("spec", "template", "spec", "containers", 0, "securityContext", "capabilities"); !reflect.DeepEqual(
		got, map[string]any{"drop": []any{"ALL"}, "add": capabilities}) && !reflect.DeepEqual(got, object{"drop": []any{"ALL"}, "add": capabilities}) {
		t.Errorf("its capabilities are %v", got)
	}
	folders := map[any]any{}
	for _, volume := range asList(set.at("spec", "template", "spec", "volumes")) {
		if path := asMap(asMap(volume)["hostPath"])["path"]; path != nil {
			folders[asMap(volume)["name"]] = path
		}
	}
	var got, want []string
	for _, mount := range asList(set.at("spec", "template", "spec", "containers", 0, "volumeMounts")) {
		mount := asMap(mount)
		if path, ok := folders[mount["name"]]; ok {
			got = append(got, fmt.Sprint(path, " at ", mount["mountPath"], ", read-only: ", mount["readOnly"] == true))
		}
	}
	for _, mount := range confine.Mounts() {
		want = append(want, fmt.Sprint(mount.Path, " at ", filepath.Join(confine.HostRoot, mount.Path), ", read-only: ", !mount.Writable))
	}
	if !slices.Equal(got, want) {
		t.Errorf("its folders of the host are\n%q\nand should be\n%q", got, want)
	}
}

// TestTheHostsRootFollowsTheHost: volumes that are gone there are gone in the executor's container, too, or they could not be attached
// elsewhere. Kubernetes refuses recursiveReadOnly beside that.
func TestTheHostsRootFollowsTheHost(t *testing.T) {
	set := find(t, template(t, enough()...), "DaemonSet", "-executor")
	for _, mount := range asList(set.at("spec", "template", "spec", "containers", 0, "volumeMounts")) {
		mount := asMap(mount)
		if mount["mountPath"] != confine.HostRoot {
			continue
		}
		want := map[string]any{"name": "host", "mountPath": confine.HostRoot, "readOnly": true, "mountPropagation": "HostToContainer"}
		if !reflect.DeepEqual(mount, want) {
			t.Errorf("the host's root is mounted as %v", mount)
		}

		return
	}
	t.Error("the host's root is not mounted")
}

// TestNoNodeGetsASecret: what an executor's pod refers to, its node can read.
func TestNoNodeGetsASecret(t *testing.T) {
	rendered := template(t, enough()...)
	set := find(t, rendered, "DaemonSet", "-executor")
	text, err := yaml.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"secret", "db.test", "reader", "nics"} {
		if strings.Contains(strings.ToLower(string(text)), word) {
			t.Errorf("the DaemonSet has the word %q in it:\n%s", word, text)
		}
	}
	for _, word := range []string{"secret", "db.test"} {
		if deployment, err := yaml.Marshal(find(t, rendered, "Deployment", "-dispatcher")); err != nil || !strings.Contains(string(deployment), word) {
			t.Errorf("the Deployment has no word %q in it (%v): it would not be found in the DaemonSet either", word, err)
		}
	}
}

// TestTheGeneratedCertificateIsTheDispatchers, by the CA that executors get, under the name by which they reach it.
func TestTheGeneratedCertificateIsTheDispatchers(t *testing.T) {
	rendered := template(t, enough()...)
	ca := find(t, rendered, "ConfigMap", "-ca").text("data", "ca.crt")
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		t.Fatalf("the ConfigMap has no CA: %q", ca)
	}
	text, err := base64.StdEncoding.DecodeString(find(t, rendered, "Secret", "-dispatcher-tls").text("data", "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("the Secret has no certificate: %q", text)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	set := find(t, rendered, "DaemonSet", "-executor")
	first := set.text("spec", "template", "spec", "containers", 0, "args", 0)
	host, _, _ := strings.Cut(strings.TrimPrefix(first, "--dispatcher="), ":")
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
		t.Errorf("executors reach %s, and its certificate does not prove that: %v", host, err)
	}
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: "other.nets.svc"}); err == nil {
		t.Error("the certificate proves any name")
	}
}

// TestWithoutAClusterOnlyGenerateIsNewEachTime, which is why docs/install.md has those who render without one use the others.
func TestWithoutAClusterOnlyGenerateIsNewEachTime(t *testing.T) {
	for _, one := range []struct {
		mode string
		set  []string
		same bool
	}{
		{"generate", nil, false},
		{"certManager", []string{"tls.issuerRef.name=internal", "tls.ca=x"}, true},
		{"existingSecret", []string{"tls.existingSecret=own", "tls.existingCAConfigMap=own"}, true},
	} {
		arguments := enough(append(one.set, "tls.mode="+one.mode)...)
		first, second := template(t, arguments...), template(t, arguments...)
		if same := first == second; same != one.same {
			t.Errorf("with %s two renderings are the same: %t", one.mode, same)
		}
	}
}

// TestTwoReleasesShareNothing of what belongs to the whole cluster.
func TestTwoReleasesShareNothing(t *testing.T) {
	names := func(rendered string) (names []string) {
		for decoder := yaml.NewDecoder(strings.NewReader(rendered)); ; {
			var one object
			if decoder.Decode(&one) != nil {
				return names
			}
			if kind, _ := one["kind"].(string); strings.HasPrefix(kind, "Cluster") {
				names = append(names, fmt.Sprint(kind, " ", one.at("metadata", "name")))
			}
		}
	}
	here := names(template(t, enough()...))
	there := names(template(t, append(enough(), "--namespace=other")...))
	if len(here) == 0 || len(here) != len(there) {
		t.Fatalf("it renders %q and %q", here, there)
	}
	for _, name := range here {
		if slices.Contains(there, name) {
			t.Errorf("both namespaces have %s", name)
		}
	}
}
