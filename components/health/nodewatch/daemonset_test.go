// DaemonSets that come, change and go, as client-go's fake cluster tells it.

package nodewatch

import (
	"context"
	"slices"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

// cluster is client-go's fake.
type cluster struct {
	*testing.T
	*fake.Clientset
	*Watcher
	watching sync.WaitGroup
}

// newCluster is watched already when it is there: the fake does not tell a
// watch what happened before.
func newCluster(t *testing.T, cfg Config, objects ...runtime.Object) *cluster {
	t.Helper()
	c := &cluster{T: t, Clientset: fake.NewClientset(objects...)}
	c.watching.Add(3)
	core, apps := c.CoreV1(), c.AppsV1().DaemonSets("")
	c.Watcher = watch(t, cfg, Sources{
		Pods:       source(c, core.Pods("").List, core.Pods("").Watch),
		Node:       source(c, core.Nodes().List, core.Nodes().Watch),
		DaemonSets: source(c, apps.List, apps.Watch),
		API:        func() healthapi.API { return healthapi.API{Connected: true} },
	})
	c.watching.Wait()
	return c
}

func source[L runtime.Object](c *cluster, list func(context.Context, metav1.ListOptions) (L, error),
	watch func(context.Context, metav1.ListOptions) (apiwatch.Interface, error)) cache.ListerWatcher {
	var once sync.Once
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return list(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			defer once.Do(c.watching.Done)
			return watch(ctx, o)
		},
	}, c.Clientset)
}

// put makes o, or makes it what it is now.
func (c *cluster) put(o object) {
	c.Helper()
	gvr := groupVersion(resourceOf(o)).WithResource(resourceOf(o))
	err := c.Tracker().Update(gvr, o.DeepCopyObject(), o.GetNamespace())
	if err != nil {
		err = c.Tracker().Create(gvr, o.DeepCopyObject(), o.GetNamespace())
	}
	if err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) remove(o object) {
	c.Helper()
	gvr := groupVersion(resourceOf(o)).WithResource(resourceOf(o))
	if err := c.Tracker().Delete(gvr, o.GetNamespace(), o.GetName()); err != nil {
		c.Fatal(err)
	}
}

// sees waits for the view to have these reasons, and these DaemonSets.
func (c *cluster) sees(daemonSets []string, reasons ...string) {
	c.Helper()
	until(c.T, c.Watcher, "other reasons", func(n *healthapi.Node) bool {
		return n.Synced && slices.Equal(n.Reasons, reasons) && n.Healthy == (len(reasons) == 0) &&
			slices.EqualFunc(n.DaemonSets, daemonSets, func(ds healthapi.DaemonSet, name string) bool { return ds.Name == name })
	})
}

func TestDaemonSetsComeAndGo(t *testing.T) {
	t.Parallel()
	c := newCluster(t, testConfig(), newNode())
	c.sees(nil)
	ds := newDaemonSet("proxy", generation(1))
	c.put(ds)
	c.sees([]string{"proxy"}, "DaemonSet kube-system/proxy: no pod here yet")
	pod := newPod("proxy-1", podOf(ds, 1))
	c.put(pod)
	c.sees([]string{"proxy"}, "DaemonSet kube-system/proxy: pod not Ready")
	c.put(newPod("proxy-1", podOf(ds, 1), app(waiting("ImagePullBackOff"))))
	c.sees([]string{"proxy"}, "DaemonSet kube-system/proxy: pod not Ready (ImagePullBackOff)")
	c.put(newPod("proxy-1", podOf(ds, 1), ready(true, 9)))
	c.sees([]string{"proxy"})

	another := newDaemonSet("another")
	c.put(another)
	c.sees([]string{"another", "proxy"}, "DaemonSet kube-system/another: no pod here yet")
	c.remove(another)
	c.sees([]string{"proxy"})

	c.put(newDaemonSet("proxy", generation(2)))
	c.sees([]string{"proxy"}, "DaemonSet kube-system/proxy: pod is of an older generation")
	c.put(newPod("proxy-1", podOf(ds, 1), ready(true, 9), deleted))
	c.sees([]string{"proxy"}, "DaemonSet kube-system/proxy: pod is being deleted")
	c.put(newPod("proxy-2", podOf(ds, 2), ready(true, 20)))
	c.sees([]string{"proxy"})
	c.remove(pod)
	c.sees([]string{"proxy"})

	c.put(newDaemonSet("proxy", generation(3), func(ds *appsv1.DaemonSet) { ds.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType }))
	c.sees([]string{"proxy"})
	c.put(newDaemonSet("proxy", func(ds *appsv1.DaemonSet) { now := metaAt(30); ds.DeletionTimestamp = &now }))
	c.sees(nil)
}

func TestDaemonSetsFollowTheNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, testConfig(), newNode(tainted("cni", corev1.TaintEffectNoExecute)), newDaemonSet("proxy"),
		newDaemonSet("cni", tolerating(corev1.Toleration{Operator: corev1.TolerationOpExists})),
		newDaemonSet("gpu", template(func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"gpu": "yes"} })))
	const cni, proxy, gpu = "DaemonSet kube-system/cni: no pod here yet", "DaemonSet kube-system/proxy: no pod here yet", "DaemonSet kube-system/gpu: no pod here yet"
	c.sees([]string{"cni"}, cni)
	c.put(newNode())
	c.sees([]string{"cni", "proxy"}, cni, proxy)
	c.put(newNode(func(n *corev1.Node) { n.Labels = map[string]string{"gpu": "yes"} }))
	c.sees([]string{"cni", "gpu", "proxy"}, cni, gpu, proxy)
	c.put(newNode(tainted(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule)))
	c.sees([]string{"cni", "proxy"}, cni, proxy)
	c.remove(newNode())
	c.sees(nil, `node "node-1" is not in the cluster: check --node-name`)
}

func TestDaemonSetsThatCannotBeWaitedFor(t *testing.T) {
	t.Parallel()
	own := newDaemonSet("health")
	guard := template(func(s *corev1.PodSpec) { s.InitContainers = []corev1.Container{{Name: guardName}} })
	c := newCluster(t, testConfig(), newNode(), own, newDaemonSet("heavy", guard), newDaemonSet("proxy"))
	c.sees([]string{"health", "proxy"}, "DaemonSet kube-system/health: no pod here yet", "DaemonSet kube-system/proxy: no pod here yet")
	c.put(newPod("health-pod", podOf(own, 1)))
	c.sees([]string{"proxy"}, "DaemonSet kube-system/proxy: no pod here yet")
}

func TestSelectedDaemonSets(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.DaemonSets = Selection{Namespace: "kube-system", HostNetworkOnly: true, Exclude: map[string]string{"wait": "no"}}
	hostNetwork := template(func(s *corev1.PodSpec) { s.HostNetwork = true })
	c := newCluster(t, cfg, newNode(), newDaemonSet("proxy", hostNetwork), newDaemonSet("logs"),
		newDaemonSet("other", hostNetwork, func(ds *appsv1.DaemonSet) { ds.Namespace = "default" }),
		newDaemonSet("metrics", hostNetwork, func(ds *appsv1.DaemonSet) { ds.Labels = map[string]string{"wait": "no"} }))
	c.sees([]string{"proxy"}, "DaemonSet kube-system/proxy: no pod here yet")
}
