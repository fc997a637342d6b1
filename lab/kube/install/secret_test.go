package install_test

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// noCredentialOnANode searches nodes for what the dispatcher alone knows of the database.
func (s *site) noCredentialOnANode() {
	s.t.Run("a worker's files and processes", func(t *testing.T) {
		found := map[string]map[string][]string{}
		for node := range s.nodes {
			found[node] = s.in(t).search(node, s.credentials())
		}
		for what := range s.credentials() {
			for _, node := range []string{workerA, workerB} {
				if places := found[node][what]; len(places) > 0 {
					t.Errorf("on %s the database's %s is in\n%s", node, what, strings.Join(places, "\n"))
				}
			}
			// The control: where the dispatcher is, the search finds it. No file has the password in base64.
			if places := found[keeper][what]; (len(places) == 0) != (what == "password in base64") {
				t.Errorf("on %s, where the dispatcher is, the database's %s is in %q", keeper, what, places)
			}
		}
	})
	s.t.Run("an executor's pod has no Secret", func(t *testing.T) {
		executors, dispatchers := s.pods("executor"), s.pods("dispatcher")
		if len(executors) != len(s.nodes) || len(dispatchers) != 1 {
			t.Fatalf("there are %d executors and %d dispatchers", len(executors), len(dispatchers))
		}
		for i := range executors {
			if found := secrets(&executors[i]); len(found) > 0 {
				t.Errorf("%s has %q", executors[i].Name, found)
			}
		}
		if found := secrets(&dispatchers[0]); len(found) != 2 {
			t.Errorf("the control: the dispatcher has %q", found)
		}
	})
	s.t.Run("a worker's kubelet cannot have the Secret", func(t *testing.T) {
		for node, want := range map[string]bool{workerA: false, workerB: false, keeper: true} {
			kubelet := kubernetes.NewForConfigOrDie(s.cluster.ConfigOf("system:node:"+node, "system:nodes"))
			_, err := kubelet.CoreV1().Secrets(namespace).Get(t.Context(), passwordSecret, metav1.GetOptions{})
			if got := err == nil; got != want || !want && !apierrors.IsForbidden(err) {
				t.Errorf("the kubelet of %s gets the database's Secret: %v", node, err)
			}
		}
	})
	s.t.Run("an executor's account can do nothing", func(t *testing.T) { s.in(t).accountCanDoNothing() })
}

// credentials are what no worker may have.
func (s *site) credentials() map[string]string {
	return map[string]string{
		"password": s.password, "password in base64": base64.StdEncoding.EncodeToString([]byte(s.password)),
		"user": s.user, "host": s.db.Host(),
	}
}

// search is where texts stand on a node: in files, images and what pods mount among them, and in what processes were started with. What
// all machines of the lab share is left out: it is the same, and can only be read.
func (s *site) search(node string, texts map[string]string) (places map[string][]string) {
	s.t.Helper()
	root := s.nodes[node].Outside("/")
	shared := map[string]bool{"proc": true, "sys": true, "dev": true, "usr": true, "opt/kubernetes": true}
	places = map[string][]string{}
	files := 0
	look := func(path string) {
		content, err := os.ReadFile(path)
		if err != nil {
			return // It has ended, or is gone.
		}
		files++
		for what, text := range texts {
			if bytes.Contains(content, []byte(text)) {
				places[what] = append(places[what], strings.TrimPrefix(path, root))
			}
		}
	}
	s.must(filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // It is gone.
		case entry.IsDir() && shared[strings.TrimPrefix(path, root)]:
			return fs.SkipDir
		case entry.Type().IsRegular():
			look(path)
		}
		return nil
	}))
	inFiles := files
	processes, err := filepath.Glob(root + "proc/[0-9]*")
	s.must(err)
	for _, process := range processes {
		for _, name := range []string{"cmdline", "environ"} {
			look(filepath.Join(process, name))
		}
	}
	if inFiles < 50 || files-inFiles < 10 {
		s.t.Errorf("on %s only %d files and %d of processes were searched", node, inFiles, files-inFiles)
	}
	return places
}

// secrets are the names of the Secrets that a pod has in any way.
func secrets(pod *corev1.Pod) []string {
	var found []string
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret != nil {
			found = append(found, volume.Secret.SecretName)
		}
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.Secret != nil {
				found = append(found, source.Secret.Name)
			}
		}
	}
	for _, container := range pod.Spec.Containers {
		for _, variable := range container.Env {
			if variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil {
				found = append(found, variable.ValueFrom.SecretKeyRef.Name)
			}
		}
		for _, from := range container.EnvFrom {
			if from.SecretRef != nil {
				found = append(found, from.SecretRef.Name)
			}
		}
	}
	return found
}

// accountCanDoNothing compares what the executors' account may do with what one without any role may; and has an executor's own token
// refused by the API server, for which it is not meant.
func (s *site) accountCanDoNothing() {
	_, err := s.client.CoreV1().ServiceAccounts(namespace).Create(s.t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "nobody"}}, metav1.CreateOptions{})
	s.must(err)
	for _, in := range []string{namespace, "default", "kube-system"} {
		nobody, executor := s.rules("nobody", in), s.rules(release+"-executor", in)
		if executor != nobody {
			s.t.Errorf("in %s an executor's account may\n%s\nand one without a role\n%s", in, executor, nobody)
		}
		if dispatcher := s.rules(release+"-dispatcher", in); dispatcher == nobody {
			s.t.Errorf("the control: in %s the dispatcher's account may no more than one without a role", in)
		}
	}
	for tier, want := range map[string]bool{"executor": false, "dispatcher": true} {
		pod := s.pods(tier)[0]
		tokens, err := filepath.Glob(s.nodes[pod.Spec.NodeName].Outside("/var/lib/kubelet/pods/" + string(pod.UID) + "/volumes/kubernetes.io~projected/*/token"))
		s.must(err)
		if len(tokens) != 1 {
			s.t.Fatalf("%s has the tokens %q", pod.Name, tokens)
		}
		text, err := os.ReadFile(tokens[0])
		s.must(err)
		_, err = s.as(string(text)).AuthenticationV1().SelfSubjectReviews().Create(s.t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if got := err == nil; got != want || !want && !apierrors.IsUnauthorized(err) {
			s.t.Errorf("the API server says to the token of the %s: %v", tier, err)
		}
	}
}

// as talks to the API server with a token.
func (s *site) as(token string) *kubernetes.Clientset {
	return kubernetes.NewForConfigOrDie(&rest.Config{
		Host: s.cluster.Config().Host, BearerToken: token,
		TLSClientConfig: rest.TLSClientConfig{CAData: s.cluster.Authority.Certificate()},
	})
}

// rules are all that an account may do in a namespace, as the API server tells it.
func (s *site) rules(account, in string) string {
	s.t.Helper()
	review, err := s.as(s.token(account, "")).AuthorizationV1().SelfSubjectRulesReviews().Create(s.t.Context(),
		&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: in}}, metav1.CreateOptions{})
	s.must(err)
	var rules []string
	for _, rule := range review.Status.ResourceRules {
		rules = append(rules, rule.String())
	}
	for _, rule := range review.Status.NonResourceRules {
		rules = append(rules, rule.String())
	}
	slices.Sort(rules)
	return strings.Join(rules, "\n")
}

// token is one of a service account, for an audience; empty: the API server.
func (s *site) token(account, audience string) string {
	s.t.Helper()
	request := &authenticationv1.TokenRequest{}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	answer, err := s.client.CoreV1().ServiceAccounts(namespace).CreateToken(s.t.Context(), account, request, metav1.CreateOptions{})
	s.must(err)
	return answer.Status.Token
}
