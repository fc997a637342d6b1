package chart_test

import (
	"reflect"
	"testing"
)

// TestTheDispatcherGetsWhere its database and the API server are, on whatever ports, and nowhere else.
func TestTheDispatcherGetsWhere(t *testing.T) {
	tcp := func(ports ...int) (rules []any) {
		for _, port := range ports {
			rules = append(rules, object{"port": port, "protocol": "TCP"})
		}

		return rules
	}
	names := append([]any{object{"port": 53, "protocol": "UDP"}}, tcp(53)...)
	for _, one := range []struct {
		name string
		set  []string
		want []any
	}{
		{"unless told otherwise", nil, []any{object{"ports": tcp(3306)}, object{"ports": append(names, tcp(443, 6443)...)}}},
		{
			"as told",
			[]string{
				"database.port=13306", "networkPolicy.databasePorts={3306,3307}", "networkPolicy.database={10.0.1.5/32}", "networkPolicy.apiServerPorts={16443}",
				"networkPolicy.extraEgress[0].to[0].ipBlock.cidr=10.9.0.0/16", "networkPolicy.extraEgress[0].ports[0].port=5353",
			},
			[]any{
				object{"ports": tcp(3306, 3307), "to": []any{object{"ipBlock": object{"cidr": "10.0.1.5/32"}}}},
				object{"ports": append(names, tcp(16443)...)},
				object{"to": []any{object{"ipBlock": object{"cidr": "10.9.0.0/16"}}}, "ports": []any{object{"port": 5353}}},
			},
		},
	} {
		t.Run(one.name, func(t *testing.T) {
			got := find(t, template(t, enough(one.set...)...), "NetworkPolicy", "-dispatcher").at("spec", "egress")
			if !reflect.DeepEqual(got, any(one.want)) {
				t.Errorf("it may go to\n%v\nand should be let go to\n%v", got, one.want)
			}
		})
	}
}

// TestTheTestsPodIsLetIn where only some addresses are, which are nodes' and not pods', and it is found by labels that nobody else has.
func TestTheTestsPodIsLetIn(t *testing.T) {
	rendered := template(t, enough("networkPolicy.from={10.0.0.0/16}")...)
	pod := find(t, rendered, "Pod", "-test")
	from := asList(find(t, rendered, "NetworkPolicy", "-dispatcher").at("spec", "ingress", 0, "from"))
	if len(from) != 2 {
		t.Fatalf("it lets in %v", from)
	}
	wanted := asMap(asMap(asMap(from[1])["podSelector"])["matchLabels"])
	for _, label := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"} {
		if got := asMap(pod.at("metadata", "labels"))[label]; wanted[label] != got || got == nil {
			t.Errorf("it lets in pods with %s %v, and the test's has %v", label, wanted[label], got)
		}
	}
	if got := asMap(pod.at("metadata", "labels"))["app.kubernetes.io/component"]; got == find(t, rendered, "Service", "-dispatcher").at("spec", "selector", "app.kubernetes.io/component") {
		t.Errorf("the Service of the dispatcher takes the test's pod, which is a %v, for it", got)
	}
}
