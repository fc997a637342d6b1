package identity_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"multinic.dev/dispatcher/internal/identity"
)

// realAPIServer names the kubeconfig, of an administrator, of a cluster that the contract is held against too.
const realAPIServer = "MULTINIC_TEST_KUBECONFIG"

func TestTheAPIServerOfTheTestsKeepsTheContract(t *testing.T) {
	keepsContract(t, startAPIServer(t).config())
}

func TestARealAPIServerKeepsTheContract(t *testing.T) {
	path := os.Getenv(realAPIServer)
	if path == "" {
		t.Skip(realAPIServer + " is not set")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	must(t, err)
	keepsContract(t, config)
}

// keepsContract requires of an API server what the dispatcher relies on. It makes a namespace, a role and a binding of its own, and takes
// them away.
func keepsContract(t *testing.T, config *rest.Config) {
	t.Helper()
	k := newCluster(t, config)
	k.make("/api/v1/namespaces/"+k.namespace+"/serviceaccounts", object{"metadata": object{"name": "executor"}})
	k.make("/api/v1/namespaces/"+k.namespace+"/serviceaccounts", object{"metadata": object{"name": "operator"}})
	pod := k.pod("pod-a", "node-a")
	api, err := identity.NewAPI(config)
	must(t, err)
	review := func(token string) authenticationv1.TokenReviewStatus {
		status, err := api.Token(t.Context(), token, "multinic-dispatcher")
		must(t, err)

		return status
	}

	// A token that is bound to a pod names the pod and its node.
	bound := k.token("executor", "pod-a", "multinic-dispatcher")
	got := review(bound)
	if want := "system:serviceaccount:" + k.namespace + ":executor"; !got.Authenticated || got.User.Username != want || !slices.Equal(got.Audiences, []string{"multinic-dispatcher"}) {
		t.Errorf("a bound token: %+v, want %s", got, want)
	}
	for claim, want := range map[string]string{"node-name": "node-a", "pod-name": "pod-a", "pod-uid": pod} {
		if values := got.User.Extra["authentication.kubernetes.io/"+claim]; !slices.Equal(values, []string{want}) {
			t.Errorf("%s is %q, want %q", claim, values, want)
		}
	}
	if left, err := identity.Life(bound); err != nil || left != 10*time.Minute {
		t.Errorf("a token lives for %v, error %v", left, err)
	}

	// The next token of the same pod says, by UIDs, that it is of the same.
	same, another := k.token("executor", "pod-a", "multinic-dispatcher"), k.token("executor", "", "multinic-dispatcher")
	if identity.Holder(bound) == "" || identity.Holder(same) != identity.Holder(bound) || identity.Holder(another) == identity.Holder(bound) {
		t.Errorf("holders are %x, %x, and %x of one that is not bound", identity.Holder(bound), identity.Holder(same), identity.Holder(another))
	}

	// One that is not names neither.
	operator := review(k.token("operator", "", "multinic-dispatcher"))
	if !operator.Authenticated || operator.User.Username != "system:serviceaccount:"+k.namespace+":operator" || len(operator.User.Extra["authentication.kubernetes.io/node-name"]) != 0 {
		t.Errorf("a token that is not bound: %+v", operator)
	}

	// What is not to be believed.
	forged := bound[:strings.LastIndex(bound, ".")+1] + "AAAA"
	for what, token := range map[string]string{
		"another audience": k.token("executor", "pod-a", "another"), "a forged signature": forged, "no token of this cluster's": "a.b.c",
	} {
		if got := review(token); got.Authenticated {
			t.Errorf("%s: %+v", what, got)
		}
	}
	if got := review(k.token("executor", "pod-a", "another", "multinic-dispatcher")); !got.Authenticated || !slices.Equal(got.Audiences, []string{"multinic-dispatcher"}) {
		t.Errorf("an audience of two: %+v", got)
	}

	// RBAC, by the method's path.
	const list, get = "/multinic.v1.FleetService/ListNodes", "/multinic.v1.FleetService/GetNode"
	access := func(user authenticationv1.UserInfo, path string) bool {
		allowed, err := api.Access(t.Context(), user, path)
		must(t, err)

		return allowed
	}
	if access(operator.User, list) {
		t.Error("an operator without a role may call ListNodes")
	}
	k.allow("operator", list)
	await(t, "the role lets the operator call ListNodes", func() bool { return access(operator.User, list) })
	if access(operator.User, get) || access(got.User, list) {
		t.Error("the role lets more than one call one method")
	}

	// A pod that is gone. An API server may remember a token for some seconds.
	k.request(http.MethodDelete, "/api/v1/namespaces/"+k.namespace+"/pods/pod-a?gracePeriodSeconds=0", nil)
	await(t, "the token of a pod that is gone is refused", func() bool { return !review(bound).Authenticated })
}

// await looks again and again until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

// object is what the API has, in JSON.
type object = map[string]any

// cluster makes what the contract needs, as an administrator.
type cluster struct {
	t         *testing.T
	client    *http.Client
	host      string
	namespace string
}

func newCluster(t *testing.T, config *rest.Config) *cluster {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	must(t, err)
	k := &cluster{t: t, client: client, host: strings.TrimSuffix(config.Host, "/"), namespace: "multinic-test-" + strings.ToLower(rand.Text()[:8])}
	k.make("/api/v1/namespaces", object{"metadata": object{"name": k.namespace}})
	t.Cleanup(func() { k.request(http.MethodDelete, "/api/v1/namespaces/"+k.namespace, nil) })

	return k
}

// request makes a request, which must succeed, and returns the answer.
func (k *cluster) request(method, path string, body object) object {
	k.t.Helper()
	var sent io.Reader = http.NoBody // An API server that is sent "null" overlooks what the path asks for.
	if body != nil {
		text, err := json.Marshal(body)
		must(k.t, err)
		sent = bytes.NewReader(text)
	}
	// Not the test's context: the last requests are made when that has ended.
	request, err := http.NewRequest(method, k.host+path, sent) //nolint:noctx,gosec // see above; the host is that of the kubeconfig
	must(k.t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := k.client.Do(request) //nolint:gosec // the host is that of the kubeconfig
	must(k.t, err)
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(response.Body)
	must(k.t, err)
	if response.StatusCode >= http.StatusMultipleChoices {
		k.t.Fatalf("%s %s: %s: %s", method, path, response.Status, said)
	}
	var answer object
	must(k.t, json.Unmarshal(said, &answer))

	return answer
}

func (k *cluster) make(path string, body object) object {
	k.t.Helper()

	return k.request(http.MethodPost, path, body)
}

// pod makes a pod that is bound to a node, and returns its UID.
func (k *cluster) pod(name, node string) string {
	k.t.Helper()
	made := k.make("/api/v1/namespaces/"+k.namespace+"/pods", object{
		"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": name},
		"spec": object{"nodeName": node, "serviceAccountName": "executor", "containers": []object{{"name": "c", "image": "none"}}},
	})

	return made["metadata"].(object)["uid"].(string) //nolint:forcetypeassert // it panics, and the test shows it
}

// token is one of a service account, for ten minutes, bound to a pod if one is named.
func (k *cluster) token(account, pod string, audiences ...string) string {
	k.t.Helper()
	spec := object{"audiences": audiences, "expirationSeconds": 600}
	if pod != "" {
		spec["boundObjectRef"] = object{"apiVersion": "v1", "kind": "Pod", "name": pod}
	}
	made := k.make("/api/v1/namespaces/"+k.namespace+"/serviceaccounts/"+account+"/token", object{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec,
	})

	return made["status"].(object)["token"].(string) //nolint:forcetypeassert // it panics, and the test shows it
}

// allow lets a service account get a non-resource URL.
func (k *cluster) allow(account, path string) {
	k.t.Helper()
	const rbac = "/apis/rbac.authorization.k8s.io/v1/"
	named := object{"name": k.namespace}
	k.make(rbac+"clusterroles", object{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": named,
		"rules": []object{{"nonResourceURLs": []string{path}, "verbs": []string{"get"}}},
	})
	k.make(rbac+"clusterrolebindings", object{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": named,
		"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": k.namespace},
		"subjects": []object{{"kind": "ServiceAccount", "name": account, "namespace": k.namespace}},
	})
	k.t.Cleanup(func() {
		k.request(http.MethodDelete, rbac+"clusterrolebindings/"+k.namespace, nil)
		k.request(http.MethodDelete, rbac+"clusterroles/"+k.namespace, nil)
	})
}
