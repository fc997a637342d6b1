package kube

import (
	"encoding/json"
	"fmt"

	"multinic.dev/lab/kube/group"
	"multinic.dev/lab/workshop"
)

// Where things are on a node.
const (
	componentsPath   = "/opt/kubernetes/components"
	containerdConfig = "/etc/containerd/config.toml"
	registriesFolder = "/etc/containerd/certs.d"
	networkConfig    = "/etc/cni/net.d/10-lab.conflist"
	kubeletConfig    = "/etc/kubernetes/kubelet.json"
	kubeletAccess    = "/etc/kubernetes/kubelet.kubeconfig"
	proxyConfig      = "/etc/kubernetes/proxy.json"
	proxyAccess      = "/etc/kubernetes/proxy.kubeconfig"
)

// containerd is its configuration. A container in which the machine itself may be lets nobody be less likely to be ended
// for want of memory than it is itself.
const containerd = `version = 2
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]

[debug]
  level = "warn"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + Image + `"
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "` + registriesFolder + `"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
`

// registry has nodes pull what is called after a registry beside the control plane from there, where it listens without TLS.
const registry = `[host."http://` + controlAddress + `:` + workshop.RegistryPort + `"]
  capabilities = ["pull", "resolve"]
`

// files are those on a node's disk.
func (n *Node) files(name string) map[string][]byte {
	n.cluster.t.Helper()
	t, a := n.cluster.t, n.cluster.Authority
	serving, err := a.Server(name, n.Address)
	if err != nil {
		t.Fatalf("%v", err)
	}
	path, err := group.For(name)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return map[string][]byte{
		containerdConfig: []byte(containerd),
		networkConfig:    n.network(),
		registriesFolder + "/" + workshop.Registry + "/hosts.toml": []byte(registry),
		kubeletConfig:                 kubelet(path),
		kubeletAccess:                 n.cluster.kubeconfig(controlAddress, "system:node:"+name, "system:nodes"),
		proxyConfig:                   proxy(name),
		proxyAccess:                   n.cluster.kubeconfig(controlAddress, "system:kube-proxy"),
		"/etc/kubernetes/ca.crt":      a.Certificate(),
		"/etc/kubernetes/kubelet.crt": serving.Certificate,
		"/etc/kubernetes/kubelet.key": serving.Key,
	}
}

// network says how pods are connected: to a bridge, with addresses of the node's own range.
func (n *Node) network() []byte {
	return []byte(fmt.Sprintf(`{
  "cniVersion": "1.0.0", "name": "lab",
  "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni"}}
  ]
}
`, n.pods))
}

// kubelet is its configuration, for a node whose control groups are below a path. What the machine lacks in memory or on its
// disks is not the nodes' concern: they evict nothing for it.
func kubelet(group string) []byte {
	never := map[string]string{"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": "/etc/kubernetes/ca.crt"},
		},
		"authorization":                 map[string]any{"mode": "Webhook"},
		"tlsCertFile":                   "/etc/kubernetes/kubelet.crt",
		"tlsPrivateKeyFile":             "/etc/kubernetes/kubelet.key",
		"containerRuntimeEndpoint":      "unix:///run/containerd/containerd.sock",
		"cgroupDriver":                  "cgroupfs",
		"cgroupRoot":                    group,
		"enforceNodeAllocatable":        []string{"none"},
		"evictionHard":                  never,
		"imageGCHighThresholdPercent":   100,
		"localStorageCapacityIsolation": false,
		"failSwapOn":                    false,
		"makeIPTablesUtilChains":        false,
		"protectKernelDefaults":         true,
		"oomScoreAdj":                   0,
		"resolvConf":                    "",
		"clusterDNS":                    []string{controlAddress},
		"clusterDomain":                 clusterDomain,
		// So that a node is ready soon, and its pods have what has changed in their Secrets and ConfigMaps.
		"nodeStatusUpdateFrequency": "1s",
		"syncFrequency":             "10s",
	})
	if err != nil {
		panic(err) // It is made of words and numbers alone.
	}
	return text
}

// proxy is the configuration of kube-proxy, which leads services' addresses to their pods. What it would set for the whole
// machine it leaves as it is.
func proxy(name string) []byte {
	text, err := json.Marshal(map[string]any{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"mode":             "iptables",
		"hostnameOverride": name,
		"clientConnection": map[string]any{"kubeconfig": proxyAccess},
		"clusterCIDR":      podRanges,
		"conntrack":        map[string]any{"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	})
	if err != nil {
		panic(err) // It is made of words and numbers alone.
	}
	return text
}
