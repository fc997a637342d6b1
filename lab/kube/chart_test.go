package kube_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"multinic.dev/lab/kube"
)

const (
	chart = "../../deploy/helm/multinic"
	// helmEnv is the variable that says where helm is.
	helmEnv = "HELM"
	// restricted and privileged are namespaces that enforce the pod security of that name.
	restricted, privileged = "chart-restricted", "chart-privileged"
	crdTimeout             = time.Minute
)

// chartWords are values without which there is no installation, as helm's --set has them.
var chartWords = []string{"database.host=db.test", "database.user=reader", "database.name=nics"}

// render is what helm makes of the chart for a namespace, in order.
func render(t *testing.T, into string, arguments ...string) []*unstructured.Unstructured {
	t.Helper()
	path := os.Getenv(helmEnv)
	if path == "" {
		t.Skipf("%s is not set: make test-kube brings helm", helmEnv)
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"template", "fleet", chart, "--namespace=" + into, "--kube-version=1.32.0"}, arguments...)...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("helm template %q: %v: %s", arguments, err, &complaint)
	}
	var objects []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(&out, 1<<16); ; {
		one := &unstructured.Unstructured{}
		err := decoder.Decode(&one.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("read what helm has rendered: %v", err)
		}
		if len(one.Object) > 0 {
			objects = append(objects, one)
		}
	}
}

// site is an API server that takes objects as it would if they were to stay.
type site struct {
	t      *testing.T
	client *kubernetes.Clientset
	any    dynamic.Interface
	kinds  meta.RESTMapper
}

func newSite(t *testing.T) *site {
	t.Helper()
	config := kube.Start(t).Config()
	client := kubernetes.NewForConfigOrDie(config)
	kinds := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	return &site{t: t, client: client, any: dynamic.NewForConfigOrDie(config), kinds: kinds}
}

// namespace makes a namespace that enforces a level of pod security.
func (s *site) namespace(name, level string) {
	s.t.Helper()
	_, err := s.client.CoreV1().Namespaces().Create(s.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": level},
	}}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

// define makes kinds of others' known, of which anything is taken: their own schemas are not here.
func (s *site) define(group, version, kind, plural string) {
	s.t.Helper()
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": plural + "." + group},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced", "names": map[string]any{"kind": kind, "plural": plural},
			"versions": []any{map[string]any{"name": version, "served": true, "storage": true, "schema": map[string]any{
				"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true},
			}}},
		},
	}}
	of := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	if _, err := s.any.Resource(of).Create(s.t.Context(), crd, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	own := schema.GroupVersionResource{Group: group, Version: version, Resource: plural}
	if err := wait.PollUntilContextTimeout(s.t.Context(), podInterval, crdTimeout, true, func(ctx context.Context) (bool, error) {
		_, err := s.any.Resource(own).List(ctx, metav1.ListOptions{})
		return err == nil, nil
	}); err != nil {
		s.t.Fatalf("%s is never served: %v", kind, err)
	}
}

// take has the API server look at an object as if it were to be made, and refuse fields that it does not know. Nothing is made but service
// accounts, without which no pod is looked at.
func (s *site) take(one *unstructured.Unstructured) error {
	s.t.Helper()
	of := one.GroupVersionKind()
	mapping, err := s.kinds.RESTMapping(of.GroupKind(), of.Version)
	if err != nil {
		s.t.Fatalf("the API server knows no %s: %v", of, err)
	}
	var where dynamic.ResourceInterface = s.any.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		where = s.any.Resource(mapping.Resource).Namespace(one.GetNamespace())
	}
	options := metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}
	if of.Kind != "ServiceAccount" {
		options.DryRun = []string{metav1.DryRunAll}
	}
	if _, err := where.Create(s.t.Context(), one, options); !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// sets are arguments for helm.
func sets(values ...string) []string {
	var arguments []string
	for _, one := range values {
		arguments = append(arguments, "--set="+one)
	}
	return arguments
}

// TestAnAPIServerTakesWhatTheChartRenders, whatever the values are.
func TestAnAPIServerTakesWhatTheChartRenders(t *testing.T) {
	s := newSite(t)
	s.namespace(privileged, "privileged")
	s.define("cert-manager.io", "v1", "Certificate", "certificates")
	s.define("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors")
	s.define("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules")
	const pem = "tls.ca=-----BEGIN CERTIFICATE-----\nnot looked at\n-----END CERTIFICATE-----"
	matrix := map[string][]string{}
	for tls, ofTLS := range map[string][]string{
		"generate":           nil,
		"certManager":        {"tls.mode=certManager", "tls.issuerRef.kind=ClusterIssuer", "tls.issuerRef.name=internal", pem},
		"existing ConfigMap": {"tls.mode=existingSecret", "tls.existingSecret=own", "tls.existingCAConfigMap=own"},
		"existing Secret":    {"tls.mode=existingSecret", "tls.existingSecret=own", pem},
	} {
		for policy, ofPolicy := range map[string][]string{
			"no policy": {"networkPolicy.enabled=false"},
			"policy": {
				"networkPolicy.from={10.0.0.0/16,2001:db8::/32}", "networkPolicy.database={10.0.1.5/32}", "networkPolicy.databasePorts={3306,3307}",
				"networkPolicy.metricsNamespaces[0].matchLabels.kubernetes\\.io/metadata\\.name=monitoring",
				"networkPolicy.extraEgress[0].ports[0].port=5353", "metrics.serviceMonitor.enabled=true", "metrics.prometheusRule.enabled=true",
			},
		} {
			for password, ofPassword := range map[string][]string{
				"existing password": {"database.existingSecret=own", "database.existingSecretKey=word"},
				"password":          {"database.password=it's: \"one\"", "viewers[0].kind=User", "viewers[0].apiGroup=rbac.authorization.k8s.io", "viewers[0].name=alice"},
			} {
				values := append(append(append(append([]string{}, chartWords...), ofTLS...), ofPolicy...), ofPassword...)
				matrix[strings.Join([]string{tls, policy, password}, ", ")] = sets(values...)
			}
		}
	}
	for _, name := range []string{"small", "large", "predecessor", "awkward"} {
		matrix[name+".values.yaml"] = []string{"--values=" + filepath.Join("..", "chart", "testdata", name+".values.yaml")}
	}
	for name, arguments := range matrix {
		t.Run(name, func(t *testing.T) {
			objects := render(t, privileged, arguments...)
			for _, one := range objects {
				if err := s.take(one); err != nil {
					t.Errorf("it refuses the %s %s: %v", one.GetKind(), one.GetName(), err)
				}
			}
			if len(objects) < 12 {
				t.Errorf("the chart renders %d objects alone", len(objects))
			}
		})
	}
	t.Run("the control", func(t *testing.T) {
		for _, one := range render(t, privileged, sets(append(chartWords, "database.existingSecret=own")...)...) {
			if one.GetKind() != "Deployment" {
				continue
			}
			_ = unstructured.SetNestedField(one.Object, int64(1), "spec", "replica")
			if err := s.take(one); err == nil || !strings.Contains(err.Error(), "spec.replica") {
				t.Errorf("a field that there is not is taken: %v", err)
			}
		}
	})
}

// TestOnlyExecutorsNeedMoreThanRestrictedPodSecurity: the dispatcher's pod and that of `helm test` are let into a namespace that enforces it, and
// the executor's, which is its control, is not; it is let in where pods may be privileged.
func TestOnlyExecutorsNeedMoreThanRestrictedPodSecurity(t *testing.T) {
	s := newSite(t)
	s.namespace(restricted, "restricted")
	s.namespace(privileged, "privileged")
	for _, test := range []struct {
		namespace, component string
		refused              bool
	}{
		{restricted, "dispatcher", false},
		{restricted, "test", false},
		{restricted, "executor", true},
		{privileged, "executor", false},
	} {
		t.Run(test.component+" in "+test.namespace, func(t *testing.T) {
			pods := 0
			for _, one := range render(t, test.namespace, sets(append(chartWords, "database.existingSecret=own")...)...) {
				if one.GetKind() == "ServiceAccount" {
					if err := s.take(one); err != nil {
						t.Fatal(err)
					}
				}
				pod := podOf(one)
				if pod == nil || pod.GetLabels()["app.kubernetes.io/component"] != test.component {
					continue
				}
				pods++
				err := s.take(pod)
				if refused := apierrors.IsForbidden(err) && strings.Contains(err.Error(), "violates PodSecurity"); refused != test.refused || !refused && err != nil {
					t.Errorf("the API server says of it: %v", err)
				}
			}
			if pods != 1 {
				t.Errorf("the chart renders %d such pods", pods)
			}
		})
	}
}

// podOf is the pod that an object is or makes; nil: none.
func podOf(one *unstructured.Unstructured) *unstructured.Unstructured {
	switch one.GetKind() {
	case "Pod":
		return one
	case "Deployment", "DaemonSet":
		template, _, _ := unstructured.NestedMap(one.Object, "spec", "template")
		pod := &unstructured.Unstructured{Object: template}
		pod.SetAPIVersion("v1")
		pod.SetKind("Pod")
		pod.SetNamespace(one.GetNamespace())
		pod.SetName(one.GetName())
		return pod
	default:
		return nil
	}
}
