package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// notReady on a pod ("true") makes it unready while its containers answer on; "lab.fairlead.io/address" asks for an address.
const (
	notReady    = "lab.fairlead.io/not-ready"
	wantAddress = "lab.fairlead.io/address"
)

// errWait says why a pod cannot start yet: what it mounts is not there. As a kubelet would, the agent tries again.
type errWait struct{ why string }

func (e errWait) Error() string { return e.why }

// running is a pod whose containers answer. Only the queue holds it, one worker a key.
type running struct {
	uid     types.UID
	ip      netip.Addr
	servers []*servers
	logs    map[string]*book
	started metav1.Time
	ends    time.Time // when a pod being deleted is done, preStop included
}

type podAgent struct {
	client  kubernetes.Interface
	node    string
	host    string
	store   cache.Store
	secrets corelisters.SecretLister
	configs corelisters.ConfigMapLister
	queue   workqueue.TypedRateLimitingInterface[string]
	logs    *logBook
	room    netip.Prefix

	// of pods that are run
	dns, api          string
	images            string
	folder, logFolder string
	users             bool // files and processes can be another user's

	mutex    sync.Mutex
	pods     map[string]*running
	machines map[string]*machine
	last     netip.Addr
	given    map[netip.Addr]types.UID
	links    int
}

func newPodAgent(client kubernetes.Interface, node, host string, room netip.Prefix) *podAgent {
	return &podAgent{client: client, node: node, host: host, logs: &logBook{books: map[string]*book{}}, users: othersAreThere(), pods: map[string]*running{},
		machines: map[string]*machine{}, room: room, last: room.Addr(), given: map[netip.Addr]types.UID{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, time.Second))}
}

// run keeps pods of the node running until ctx ends.
func (a *podAgent) run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(a.client, 0)
	a.secrets, a.configs = factory.Core().V1().Secrets().Lister(), factory.Core().V1().ConfigMaps().Lister()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	watch := cache.NewListWatchFromClient(a.client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.OneTermEqualSelector("spec.nodeName", a.node))
	informer := cache.NewSharedIndexInformer(watch, &corev1.Pod{}, 0, cache.Indexers{})
	a.store = informer.GetStore()
	enqueue := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			a.queue.Add(key)
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: enqueue, DeleteFunc: enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) }}); err != nil {
		return err
	}
	go informer.Run(ctx.Done())
	for range 4 {
		go func() {
			for a.next(ctx) {
			}
		}()
	}
	<-ctx.Done()
	a.queue.ShutDown()
	a.mutex.Lock()
	machines := maps.Clone(a.machines)
	a.mutex.Unlock()
	for _, m := range machines {
		<-m.done
	}
	return nil
}

func (a *podAgent) next(ctx context.Context) bool {
	key, ended := a.queue.Get()
	if ended {
		return false
	}
	defer a.queue.Done(key)
	if err := a.sync(ctx, key); err != nil {
		var wait errWait
		if !errors.As(err, &wait) {
			log.Printf("pod %s: %v", key, err)
		}
		a.queue.AddRateLimited(key)
		return true
	}
	a.queue.Forget(key)
	return true
}

func (a *podAgent) sync(ctx context.Context, key string) error {
	object, exists, err := a.store.GetByKey(key)
	if err != nil {
		return err
	}
	a.mutex.Lock()
	now, m := a.pods[key], a.machines[key]
	a.mutex.Unlock()
	if !exists {
		if m != nil {
			m.update(nil)
		}
		a.stop(key, now)
		return nil
	}
	pod := object.(*corev1.Pod)
	if m != nil {
		if m.uid == pod.UID {
			m.update(pod)
			return nil
		}
		m.update(nil)
		return errWait{"the pod of that name before it has not ended"}
	}
	if now != nil && now.uid != pod.UID {
		a.stop(key, now)
		now = nil
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		a.stop(key, now)
		return nil
	}
	if pod.DeletionTimestamp != nil {
		return a.end(ctx, key, pod, now)
	}
	if now == nil && a.runs(pod) {
		a.startMachine(ctx, key, pod)
		return nil
	}
	if now == nil {
		if now, err = a.start(ctx, key, pod); err != nil {
			var wait errWait
			if errors.As(err, &wait) {
				return errors.Join(err, a.patch(ctx, pod, waiting(pod, wait.why, a.host)))
			}
			return err
		}
	}
	return a.patch(ctx, pod, a.ready(pod, now))
}

func (a *podAgent) startMachine(ctx context.Context, key string, pod *corev1.Pod) {
	m := newMachine(a, key, pod)
	a.mutex.Lock()
	a.machines[key] = m
	a.mutex.Unlock()
	go func() {
		m.run(ctx)
		a.mutex.Lock()
		delete(a.machines, key)
		a.mutex.Unlock()
		a.queue.Add(key) // another of that name may wait
	}()
}

// nextLink numbers the veths of pods.
func (a *podAgent) nextLink() int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.links++
	return a.links
}

func (a *podAgent) giveBack(ip netip.Addr) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	delete(a.given, ip)
}

// start gives the pod an address and starts its echo servers there.
func (a *podAgent) start(ctx context.Context, key string, pod *corev1.Pod) (*running, error) {
	volumes, err := a.volumes(ctx, pod)
	if err != nil {
		return nil, err
	}
	ip, err := a.address(pod)
	if err != nil {
		return nil, err
	}
	now := &running{uid: pod.UID, ip: ip, logs: map[string]*book{}, started: metav1.Now()}
	for i := range pod.Spec.Containers {
		spec := &pod.Spec.Containers[i]
		c := &container{pod: pod, name: spec.Name, image: spec.Image, ip: ip, args: append(append([]string(nil), spec.Command...), spec.Args...),
			ports: spec.Ports, files: map[string][]byte{}}
		for _, mount := range spec.VolumeMounts {
			for name, content := range volumes[mount.Name] {
				if mount.SubPath == "" {
					c.files[path.Join(mount.MountPath, name)] = content
				} else if mount.SubPath == name {
					c.files[mount.MountPath] = content
				}
			}
		}
		if c.env, err = a.environment(ctx, pod, spec, ip); err == nil {
			c.logs = a.logs.open(key + "/" + spec.Name)
			now.logs[key+"/"+spec.Name] = c.logs
			var s *servers
			if s, err = startProgram(c); s != nil {
				now.servers = append(now.servers, s)
			}
		}
		if err != nil {
			a.stop(key, now)
			return nil, fmt.Errorf("container %s: %w", spec.Name, err)
		}
	}
	a.mutex.Lock()
	a.pods[key] = now
	a.mutex.Unlock()
	return now, nil
}

func (a *podAgent) stop(key string, now *running) {
	if now == nil {
		return
	}
	for _, s := range now.servers {
		s.close()
	}
	for name, b := range now.logs {
		a.logs.forget(name, b)
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.pods[key] == now {
		delete(a.pods, key)
	}
	delete(a.given, now.ip)
}

// end lets a pod that is being deleted answer for as long as its containers' preStop sleeps, as a kubelet would, and then takes it away.
func (a *podAgent) end(ctx context.Context, key string, pod *corev1.Pod, now *running) error {
	if now != nil {
		if now.ends.IsZero() {
			now.ends = time.Now().Add(preStop(pod))
		}
		if left := time.Until(now.ends); left > 0 {
			a.queue.AddAfter(key, left)
			return nil
		}
		a.stop(key, now)
	}
	return a.finalize(ctx, pod)
}

// finalize takes a pod whose containers have ended out of the API.
func (a *podAgent) finalize(ctx context.Context, pod *corev1.Pod) error {
	zero := int64(0)
	err := a.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func preStop(pod *corev1.Pod) time.Duration {
	longest := time.Duration(0)
	for _, c := range pod.Spec.Containers {
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Sleep != nil {
			longest = max(longest, time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second)
		}
	}
	if pod.DeletionGracePeriodSeconds != nil {
		longest = min(longest, time.Duration(*pod.DeletionGracePeriodSeconds)*time.Second)
	}
	return longest
}

// address gives pods one address after the other and comes back to an old one as late as it can: a request that reaches a pod's address
// after its end finds nobody there rather than somebody else.
func (a *podAgent) address(pod *corev1.Pod) (netip.Addr, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	wanted := pod.Status.PodIP // of an agent before us
	if wanted == "" {
		wanted = pod.Annotations[wantAddress]
	}
	if wanted != "" {
		ip, err := netip.ParseAddr(wanted)
		if err != nil || !a.room.Contains(ip) {
			return netip.Addr{}, fmt.Errorf("address %q is not one of %s", wanted, a.room)
		}
		if holder, taken := a.given[ip]; taken && holder != pod.UID {
			return netip.Addr{}, errWait{fmt.Sprintf("address %s is another pod's", ip)}
		}
		a.given[ip] = pod.UID
		return ip, nil
	}
	for range 1 << (32 - a.room.Bits()) {
		a.last = a.last.Next()
		if !a.room.Contains(a.last) {
			a.last = a.room.Addr().Next()
		}
		if _, taken := a.given[a.last]; !taken {
			a.given[a.last] = pod.UID
			return a.last, nil
		}
	}
	return netip.Addr{}, errWait{"no address is left"}
}

// volumes reads the Secrets and ConfigMaps that a pod mounts: volume -> file -> content. Volumes of other kinds are empty.
func (a *podAgent) volumes(ctx context.Context, pod *corev1.Pod) (map[string]map[string][]byte, error) {
	all := map[string]map[string][]byte{}
	for _, v := range pod.Spec.Volumes {
		var err error
		switch {
		case v.Secret != nil:
			all[v.Name], err = a.secretFiles(ctx, pod.Namespace, v.Secret.SecretName, v.Secret.Items, v.Secret.Optional)
		case v.ConfigMap != nil:
			all[v.Name], err = a.configFiles(ctx, pod.Namespace, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (a *podAgent) secretFiles(ctx context.Context, namespace, name string, items []corev1.KeyToPath, optional *bool) (map[string][]byte, error) {
	secret, err := a.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return missing("secret", name, optional)
	}
	if err != nil {
		return nil, err
	}
	return pick("secret", name, secret.Data, items)
}

func (a *podAgent) configFiles(ctx context.Context, namespace, name string, items []corev1.KeyToPath, optional *bool) (map[string][]byte, error) {
	config, err := a.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return missing("configmap", name, optional)
	}
	if err != nil {
		return nil, err
	}
	return pick("configmap", name, dataOf(config), items)
}

func dataOf(config *corev1.ConfigMap) map[string][]byte {
	data := map[string][]byte{}
	for key, value := range config.Data {
		data[key] = []byte(value)
	}
	for key, value := range config.BinaryData {
		data[key] = value
	}
	return data
}

func missing(kind, name string, optional *bool) (map[string][]byte, error) {
	if optional != nil && *optional {
		return nil, nil
	}
	return nil, errWait{fmt.Sprintf("%s %q not found", kind, name)}
}

func pick(kind, name string, data map[string][]byte, items []corev1.KeyToPath) (map[string][]byte, error) {
	if items == nil {
		return data, nil
	}
	files := map[string][]byte{}
	for _, item := range items {
		content, found := data[item.Key]
		if !found {
			return nil, errWait{fmt.Sprintf("%s %q has no key %q", kind, name, item.Key)}
		}
		files[item.Path] = content
	}
	return files, nil
}

func (a *podAgent) environment(ctx context.Context, pod *corev1.Pod, spec *corev1.Container, ip netip.Addr) (map[string]string, error) {
	env := map[string]string{}
	for _, e := range spec.Env {
		value := e.Value
		if from := e.ValueFrom; from != nil {
			var err error
			var files map[string][]byte
			switch {
			case from.FieldRef != nil:
				value = a.field(pod, from.FieldRef.FieldPath, ip)
			case from.SecretKeyRef != nil:
				files, err = a.secretFiles(ctx, pod.Namespace, from.SecretKeyRef.Name, nil, from.SecretKeyRef.Optional)
				value = string(files[from.SecretKeyRef.Key])
			case from.ConfigMapKeyRef != nil:
				files, err = a.configFiles(ctx, pod.Namespace, from.ConfigMapKeyRef.Name, nil, from.ConfigMapKeyRef.Optional)
				value = string(files[from.ConfigMapKeyRef.Key])
			}
			if err != nil {
				return nil, err
			}
		}
		for name, known := range env {
			value = strings.ReplaceAll(value, "$("+name+")", known)
		}
		env[e.Name] = value
	}
	return env, nil
}

func (a *podAgent) field(pod *corev1.Pod, path string, ip netip.Addr) string {
	switch path {
	case "metadata.name":
		return pod.Name
	case "metadata.namespace":
		return pod.Namespace
	case "metadata.uid":
		return string(pod.UID)
	case "spec.nodeName":
		return pod.Spec.NodeName
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName
	case "status.podIP", "status.podIPs":
		return ip.String()
	case "status.hostIP":
		return a.host
	}
	if key, found := strings.CutPrefix(path, "metadata.labels['"); found {
		return pod.Labels[strings.TrimSuffix(key, "']")]
	}
	if key, found := strings.CutPrefix(path, "metadata.annotations['"); found {
		return pod.Annotations[strings.TrimSuffix(key, "']")]
	}
	return ""
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType, is bool, reason, message string) corev1.PodCondition {
	status := corev1.ConditionFalse
	if is {
		status = corev1.ConditionTrue
	}
	since := metav1.Now()
	for _, c := range pod.Status.Conditions {
		if c.Type == kind && c.Status == status {
			since = c.LastTransitionTime
		}
	}
	return corev1.PodCondition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: since}
}

func waiting(pod *corev1.Pod, why, host string) corev1.PodStatus {
	status := corev1.PodStatus{Phase: corev1.PodPending, HostIP: host, Conditions: []corev1.PodCondition{
		condition(pod, corev1.PodInitialized, true, "", ""),
		condition(pod, corev1.ContainersReady, false, "ContainersNotReady", why),
		condition(pod, corev1.PodReady, false, "ContainersNotReady", why)}}
	for _, c := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Image: c.Image,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating", Message: why}}})
	}
	return status
}

func (a *podAgent) ready(pod *corev1.Pod, now *running) corev1.PodStatus {
	is, reason := pod.Annotations[notReady] != "true", ""
	if !is {
		reason = "ContainersNotReady"
	}
	status := corev1.PodStatus{Phase: corev1.PodRunning, HostIP: a.host, HostIPs: []corev1.HostIP{{IP: a.host}}, StartTime: &now.started,
		PodIP: now.ip.String(), PodIPs: []corev1.PodIP{{IP: now.ip.String()}},
		Conditions: []corev1.PodCondition{condition(pod, corev1.PodInitialized, true, "", ""), condition(pod, corev1.ContainersReady, is, reason, ""),
			condition(pod, corev1.PodReady, is, reason, "")}}
	for _, c := range pod.Spec.Containers {
		started := true
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: c.Image,
			ContainerID: "lab://" + string(pod.UID) + "/" + c.Name, Ready: is, Started: &started,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now.started}}})
	}
	return status
}

// patch writes what differs in the fields that are ours; conditions of others (PodScheduled) stay, being merged by type.
func (a *podAgent) patch(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	if same(pod.Status, status) {
		return nil
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return err
	}
	return a.write(ctx, pod, body)
}

func (a *podAgent) write(ctx context.Context, pod *corev1.Pod, body []byte) error {
	_, err := a.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone, or another of that name: an event will tell
	}
	return err
}

func same(old, fresh corev1.PodStatus) bool {
	if old.Phase != fresh.Phase || old.PodIP != fresh.PodIP || len(old.ContainerStatuses) != len(fresh.ContainerStatuses) {
		return false
	}
	for _, want := range fresh.Conditions {
		found := false
		for _, c := range old.Conditions {
			found = found || (c.Type == want.Type && c.Status == want.Status && c.Message == want.Message)
		}
		if !found {
			return false
		}
	}
	return true
}
