package kube_test

import (
	"context"
	"slices"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"multinic.dev/lab/kube"
	"multinic.dev/lab/kube/authority"
)

const (
	// audience is whom executors' tokens are for.
	audience = "multinic-dispatcher"
	// account is a service account, and namespace where it is.
	account   = "executor"
	namespace = "multinic-test"
)

// TestATokenSaysWhichNodeItsPodIsOn is the contract on which --identity=kubernetes stands, held against the real API server:
// what TokenReview says of a token that is bound to a pod, and of those that the dispatcher must refuse.
func TestATokenSaysWhichNodeItsPodIsOn(t *testing.T) {
	cluster := kube.Start(t)
	client := kubernetes.NewForConfigOrDie(cluster.Config())
	inNamespace(t, client)
	makeAccount(t, client, account)
	pod := makePodObject(t, client, "bound", "node-a")
	gone := makePodObject(t, client, "gone", "node-a")
	token := request(t, client, account, audience, pod)
	ofGone := request(t, client, account, audience, gone)
	other, err := authority.New()
	if err != nil {
		t.Fatal(err)
	}
	noGrace := int64(0)
	if review := review(t, client, ofGone); !review.Authenticated {
		t.Fatalf("the control: a token of a pod that is there is refused: %s", review.Error)
	}
	if err := client.CoreV1().Pods(namespace).Delete(t.Context(), gone.Name, metav1.DeleteOptions{GracePeriodSeconds: &noGrace}); err != nil {
		t.Fatal(err)
	}
	// The API server may remember for some seconds what it has said.
	err = wait.PollUntilContextTimeout(t.Context(), podInterval, podTimeout, true, func(context.Context) (bool, error) {
		return !review(t, client, ofGone).Authenticated, nil
	})
	if err != nil {
		t.Errorf("the token of a pod that is gone is never refused: %v", err)
	}
	past := time.Now().Add(-time.Hour)

	for _, test := range []struct {
		name  string
		token string
		want  said
	}{
		{"bound to a pod", token, said{
			Username:  "system:serviceaccount:multinic-test:executor",
			Audiences: []string{audience},
			Node:      []string{"node-a"}, Pod: []string{"bound"}, UID: []string{string(pod.UID)},
		}},
		// The control of those below: a token that the lab has signed is as good as the API server's own.
		{"signed by the lab", alter(t, cluster.Authority, token, nil), said{
			Username:  "system:serviceaccount:multinic-test:executor",
			Audiences: []string{audience},
			Node:      []string{"node-a"}, Pod: []string{"bound"}, UID: []string{string(pod.UID)},
		}},
		{"bound to no pod", request(t, client, account, audience, nil), said{
			Username: "system:serviceaccount:multinic-test:executor", Audiences: []string{audience},
		}},
		{"for another audience", request(t, client, account, kube.Audience, pod), said{}},
		{"expired", alter(t, cluster.Authority, token, authority.Claims{
			"iat": past.Add(-time.Hour).Unix(), "nbf": past.Add(-time.Hour).Unix(), "exp": past.Unix(),
		}), said{}},
		{"signed with another key", alter(t, other, token, nil), said{}},
		{"no token at all", "anything", said{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := says(review(t, client, test.token))
			if !equal(got, test.want) {
				t.Errorf("TokenReview says %+v, and not %+v", got, test.want)
			}
		})
	}
}

// TestReviewsNeedTheRightToThem holds the roles that the dispatcher and the executor have: the one may ask for reviews, and
// the other, who is on every node, may not.
func TestReviewsNeedTheRightToThem(t *testing.T) {
	cluster := kube.Start(t)
	admin := kubernetes.NewForConfigOrDie(cluster.Config())
	inNamespace(t, admin)
	for _, name := range []string{account, "dispatcher"} {
		makeAccount(t, admin, name)
	}
	bind(t, admin, "system:auth-delegator", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "dispatcher"})
	token := request(t, admin, account, audience, nil)

	for name, want := range map[string]bool{"dispatcher": true, account: false} {
		client := kubernetes.NewForConfigOrDie(&rest.Config{
			Host:            cluster.Config().Host,
			TLSClientConfig: rest.TLSClientConfig{CAData: cluster.Authority.Certificate()},
			BearerToken:     request(t, admin, name, kube.Audience, nil),
		})
		_, err := client.AuthenticationV1().TokenReviews().Create(t.Context(), reviewOf(token), metav1.CreateOptions{})
		if got := err == nil; got != want {
			t.Errorf("%s asks for a TokenReview: %v", name, err)
		}
	}
}

// TestARoleOnAMethodsPathIsARightToCallIt holds what SubjectAccessReview says of the paths of gRPC methods.
func TestARoleOnAMethodsPathIsARightToCallIt(t *testing.T) {
	cluster := kube.Start(t)
	client := kubernetes.NewForConfigOrDie(cluster.Config())
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "multinic-reader"},
		Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/multinic.v1.FleetService/GetNode"}, Verbs: []string{"get"}}},
	}
	if _, err := client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	bind(t, client, role.Name, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "alice"})

	for _, test := range []struct {
		user, path, verb string
		want             bool
	}{
		{"alice", "/multinic.v1.FleetService/GetNode", "get", true},
		{"alice", "/multinic.v1.FleetService/RetryNode", "get", false},
		{"alice", "/multinic.v1.FleetService/GetNode", "post", false},
		{"bob", "/multinic.v1.FleetService/GetNode", "get", false},
	} {
		answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User: test.user, NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: test.path, Verb: test.verb},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status.Allowed != test.want {
			t.Errorf("SubjectAccessReview for %s, %s %s: %v (%s)", test.user, test.verb, test.path, answer.Status.Allowed, answer.Status.Reason)
		}
	}
}

// said is what a TokenReview says that a dispatcher looks at.
type said struct {
	Username       string
	Audiences      []string
	Node, Pod, UID []string
}

func says(review authenticationv1.TokenReviewStatus) said {
	if !review.Authenticated {
		return said{}
	}
	extra := func(name string) []string { return review.User.Extra["authentication.kubernetes.io/"+name] }
	return said{
		Username: review.User.Username, Audiences: review.Audiences,
		Node: extra("node-name"), Pod: extra("pod-name"), UID: extra("pod-uid"),
	}
}

func equal(a, b said) bool {
	return a.Username == b.Username && slices.Equal(a.Audiences, b.Audiences) &&
		slices.Equal(a.Node, b.Node) && slices.Equal(a.Pod, b.Pod) && slices.Equal(a.UID, b.UID)
}

func reviewOf(token string) *authenticationv1.TokenReview {
	return &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
}

// review asks whose token it is, for the audience of the dispatcher.
func review(t *testing.T, client *kubernetes.Clientset, token string) authenticationv1.TokenReviewStatus {
	t.Helper()
	answer, err := client.AuthenticationV1().TokenReviews().Create(t.Context(), reviewOf(token), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status
}

// request asks for a token of a service account, bound to a pod if there is one.
func request(t *testing.T, client *kubernetes.Clientset, account, audience string, pod *corev1.Pod) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}
	if pod != nil {
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}
	}
	answer, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status.Token
}

func alter(t *testing.T, signer *authority.Authority, token string, replaced authority.Claims) string {
	t.Helper()
	altered, err := signer.Alter(token, replaced)
	if err != nil {
		t.Fatal(err)
	}
	return altered
}
