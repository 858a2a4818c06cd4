package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	volumesEvery  = 500 * time.Millisecond // a kubelet takes up to a minute
	startAgain    = 200 * time.Millisecond // what a pod needs is not there
	firstBackoff  = time.Second            // after a container's end; a kubelet begins with ten
	longestWait   = 10 * time.Second
	sidecarsLast  = 2 * time.Second // of sidecars when the pod's work is done
	networkLinger = time.Second     // after the last process: its connections say goodbye
)

// program is one container of a pod, whether it runs or not.
type program struct {
	spec          *corev1.Container
	init, sidecar bool
	book          *book
	process       *process // nil: it does not run
	began         metav1.Time
	started       bool // by its startup probe
	ready         bool
	launches      int32
	last          *corev1.ContainerStateTerminated // how it ended before
	again         time.Time
	stopProbes    context.CancelFunc
	killed        bool // SIGTERM has been sent
}

// machine is a pod that really runs: its network, volumes and containers from the first to the last. One goroutine, run(), owns all but the first block.
type machine struct {
	agent  *podAgent
	key    string
	uid    types.UID
	done   chan struct{} // closed when nothing of it is left
	events chan func()   // of processes and probes, for run()
	poke   chan struct{}
	mutex  sync.Mutex
	newest *corev1.Pod // nil: it is not in the API any more
	box    *sandbox    // also of who forwards ports

	pod      *corev1.Pod // the newest of this turn
	ip       netip.Addr
	folder   string
	volumes  *volumes
	programs []*program
	phase    corev1.PodPhase
	began    metav1.Time
	why      string // it cannot start
	ending   time.Time
	said     string // the status that was written last
	since    map[corev1.PodConditionType]corev1.PodCondition
}

func newMachine(agent *podAgent, key string, pod *corev1.Pod) *machine {
	m := &machine{agent: agent, key: key, uid: pod.UID, done: make(chan struct{}), events: make(chan func()), poke: make(chan struct{}, 1), newest: pod,
		phase: corev1.PodPending, since: map[corev1.PodConditionType]corev1.PodCondition{}, folder: filepath.Join(agent.folder, string(pod.UID))}
	for i := range pod.Spec.InitContainers {
		spec := &pod.Spec.InitContainers[i]
		sidecar := spec.RestartPolicy != nil && *spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
		m.programs = append(m.programs, &program{spec: spec, init: true, sidecar: sidecar})
	}
	for i := range pod.Spec.Containers {
		m.programs = append(m.programs, &program{spec: &pod.Spec.Containers[i]})
	}
	for _, p := range m.programs {
		p.book = agent.logs.open(key + "/" + p.spec.Name)
		p.book.keepIn(filepath.Join(agent.logFolder, "pod-"+strings.ReplaceAll(key, "/", "-")+"-"+p.spec.Name+".log"))
	}
	return m
}

// update says what the pod is now; nil when it is gone.
func (m *machine) update(pod *corev1.Pod) {
	m.mutex.Lock()
	m.newest = pod
	m.mutex.Unlock()
	m.wake()
}

// wake has run() look again.
func (m *machine) wake() {
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

func (m *machine) run(ctx context.Context) {
	defer close(m.done)
	volumesAt := time.Now()
	for {
		m.mutex.Lock()
		m.pod = m.newest
		m.mutex.Unlock()
		if m.pod == nil || ctx.Err() != nil {
			m.killAll()
			break
		}
		if m.pod.DeletionTimestamp != nil {
			if m.end(ctx) {
				break
			}
		} else if m.phase != corev1.PodSucceeded && m.phase != corev1.PodFailed {
			m.live(ctx, &volumesAt)
		}
		if err := m.report(ctx); err != nil && ctx.Err() == nil {
			log.Printf("pod %s: %v", m.key, err)
		}
		select {
		case change := <-m.events:
			change()
		case <-m.poke:
		case <-ctx.Done():
		case <-time.After(startAgain):
		}
	}
	m.clean()
}

// live starts what shall run and does not.
func (m *machine) live(ctx context.Context, volumesAt *time.Time) {
	if m.box == nil {
		if !m.prepare(ctx) {
			return
		}
	}
	if time.Since(*volumesAt) > volumesEvery {
		if err := m.volumes.refresh(ctx); err != nil && ctx.Err() == nil {
			log.Printf("pod %s: %v", m.key, err) // what is shown stays
		}
		*volumesAt = time.Now()
	}
	m.phase = corev1.PodRunning
	open, failed := false, false
	for _, p := range m.programs {
		m.notice(p)
		if p.process == nil && m.restarts(p) {
			m.launch(ctx, p)
		}
		switch {
		case p.sidecar && !p.started:
			m.phase = corev1.PodPending
			return
		case p.init && !p.sidecar && (p.process != nil || p.last == nil || p.last.ExitCode != 0):
			if m.phase = corev1.PodPending; p.process == nil && p.last != nil && !m.restarts(p) {
				m.phase = corev1.PodFailed
			}
			return
		case !p.init:
			open = open || p.process != nil || m.restarts(p)
			failed = failed || (p.last != nil && p.last.ExitCode != 0)
		}
	}
	if open {
		return
	}
	if m.phase = corev1.PodSucceeded; failed {
		m.phase = corev1.PodFailed
	}
	for _, p := range m.programs { // sidecars have nobody left to serve
		if p.process != nil {
			m.stop(p, syscall.SIGTERM)
			select {
			case <-p.process.done:
			case <-time.After(sidecarsLast):
				p.process.kill(syscall.SIGKILL)
				<-p.process.done
			}
			m.notice(p)
		}
	}
}

// prepare gives the pod its volumes, address and network; false when something is not there yet.
func (m *machine) prepare(ctx context.Context) bool {
	err := func() error {
		if !m.ip.IsValid() {
			ip, err := m.agent.address(m.pod)
			if err != nil {
				return err
			}
			m.ip, m.began = ip, metav1.Now()
			if err := os.MkdirAll(filepath.Join(m.folder, "volumes"), 0o755); err != nil {
				return err
			}
			m.volumes = newVolumes(m.agent, m.pod, ip, m.folder)
		}
		if err := m.volumes.refresh(ctx); err != nil {
			return err
		}
		box, err := newSandbox(m.pod, m.ip, m.agent.host, m.agent.nextLink())
		if err != nil {
			return err
		}
		m.mutex.Lock()
		defer m.mutex.Unlock()
		m.box = box
		return nil
	}()
	if err == nil {
		m.why = ""
		return true
	}
	var wait errWait
	if !errors.As(err, &wait) && err.Error() != m.why {
		log.Printf("pod %s: %v", m.key, err)
	}
	m.why = err.Error()
	return false
}

// restarts tells whether a container that does not run is to be started.
func (m *machine) restarts(p *program) bool {
	if p.last == nil || p.sidecar {
		return true
	}
	if p.init {
		return p.last.ExitCode != 0 && m.pod.Spec.RestartPolicy != corev1.RestartPolicyNever
	}
	switch m.pod.Spec.RestartPolicy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return p.last.ExitCode != 0
	}
	return true
}

func (m *machine) launch(ctx context.Context, p *program) {
	if time.Now().Before(p.again) {
		return
	}
	p.again = time.Now().Add(min(firstBackoff<<min(p.launches, 10), longestWait))
	p.launches++
	p.began, p.started, p.ready, p.killed = metav1.Now(), false, false, false
	spec, err := m.specification(ctx, p)
	if err == nil {
		p.process, err = startProcess(spec, m.box, p.book)
	}
	if err != nil {
		p.book.printf("[node] cannot start: %v", err)
		p.last = &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: err.Error(), StartedAt: p.began, FinishedAt: metav1.Now()}
		return
	}
	probes, stop := context.WithCancel(ctx)
	p.stopProbes = stop
	now := p.process
	go m.watchProbes(probes, p, now)
	go func() {
		<-now.done
		m.wake()
	}()
}

// specification is what a container runtime would be told.
func (m *machine) specification(ctx context.Context, p *program) (containerSpec, error) {
	image := m.agent.root(p.spec.Image)
	workspace := filepath.Join(m.folder, "root-"+p.spec.Name)
	if err := os.MkdirAll(workspace, 0o755); err != nil {
		return containerSpec{}, err
	}
	env, err := m.agent.environment(ctx, m.pod, p.spec, m.ip)
	if err != nil {
		return containerSpec{}, err
	}
	spec := containerSpec{Root: image, Workspace: workspace, Hostname: m.pod.Name, SwitchUser: m.agent.users, User: userOf(m.pod, p.spec), Group: groupOf(m.pod, p.spec),
		FsGroup: fsGroup(m.pod), Files: map[string]string{
			"hosts": fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", m.ip, m.pod.Name),
			"resolv.conf": fmt.Sprintf("nameserver %s\nsearch %s.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:1\n",
				m.agent.dns, m.pod.Namespace)}}
	if s := p.spec.SecurityContext; s != nil {
		spec.ReadOnlyRoot = s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem
		spec.KeepCapabilities = s.Capabilities == nil || len(s.Capabilities.Drop) == 0
	}
	for _, v := range p.spec.VolumeMounts {
		spec.Mounts = append(spec.Mounts, mount{filepath.Join(m.volumes.path(v.Name), v.SubPath), v.MountPath, v.ReadOnly})
	}
	spec.Command = p.spec.Command
	if len(spec.Command) == 0 {
		spec.Command = []string{entryPoints[imageName(p.spec.Image)]}
	}
	spec.Command = append([]string(nil), append(spec.Command, p.spec.Args...)...)
	for i, argument := range spec.Command {
		spec.Command[i] = expand(argument, env)
	}
	spec.Env = []string{"PATH=/usr/local/bin", "HOSTNAME=" + m.pod.Name, "HOME=/tmp", "KUBERNETES_SERVICE_HOST=" + m.agent.api, "KUBERNETES_SERVICE_PORT=443"}
	for name, value := range env {
		spec.Env = append(spec.Env, name+"="+value)
	}
	return spec, nil
}

// notice sees that a container has ended.
func (m *machine) notice(p *program) {
	if p.process == nil || !p.process.ended() {
		return
	}
	p.stopProbes()
	reason := "Completed"
	if p.process.code != 0 {
		reason = "Error"
	}
	p.last = &corev1.ContainerStateTerminated{ExitCode: int32(p.process.code), Signal: int32(p.process.signal), Reason: reason, StartedAt: p.began, FinishedAt: metav1.Now()}
	p.book.printf("[node] ended with %d", p.process.code)
	p.process, p.started, p.ready = nil, false, false
	if time.Since(p.began.Time) > longestWait {
		p.again = time.Time{} // it ran for a while: no back-off
	}
}

// unwell is the end of a container whose startup or liveness probe failed.
func (m *machine) unwell(p *program, now *process) {
	grace := time.Duration(30) * time.Second
	if s := m.pod.Spec.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	m.stop(p, syscall.SIGTERM)
	time.AfterFunc(grace, func() {
		if !now.ended() {
			now.kill(syscall.SIGKILL)
		}
	})
}

func (m *machine) stop(p *program, signal syscall.Signal) {
	if p.process == nil {
		return
	}
	p.stopProbes()
	if signal == syscall.SIGTERM && p.killed {
		return
	}
	p.killed = true
	p.process.kill(signal)
}

// end is what a kubelet does when a pod is deleted: preStop, SIGTERM, SIGKILL when its time is up; sidecars after the others. True when it is over.
func (m *machine) end(ctx context.Context) bool {
	grace := time.Duration(30) * time.Second
	if s := m.pod.DeletionGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	if m.ending.IsZero() {
		m.ending = time.Now()
	}
	late := time.Since(m.ending) >= grace
	main, all := false, false
	for _, p := range m.programs {
		m.notice(p)
		main = main || (p.process != nil && !p.sidecar)
	}
	for _, p := range m.programs {
		if p.process == nil {
			continue
		}
		all = true
		switch {
		case late:
			m.stop(p, syscall.SIGKILL)
		case p.sidecar && main:
		case time.Since(m.ending) >= sleepBeforeStop(p.spec):
			m.stop(p, syscall.SIGTERM)
		}
	}
	if all {
		return false
	}
	if err := m.agent.finalize(ctx, m.pod); err != nil {
		log.Printf("pod %s: %v", m.key, err)
		return false
	}
	return true
}

func sleepBeforeStop(container *corev1.Container) time.Duration {
	if container.Lifecycle != nil && container.Lifecycle.PreStop != nil && container.Lifecycle.PreStop.Sleep != nil {
		return time.Duration(container.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	}
	return 0
}

func (m *machine) killAll() {
	for _, p := range m.programs {
		m.stop(p, syscall.SIGKILL)
	}
	for _, p := range m.programs {
		if p.process != nil {
			<-p.process.done
			m.notice(p)
		}
	}
}

// clean takes away what the pod had. Its network last: what its processes' connections say at their end is to be heard.
func (m *machine) clean() {
	m.mutex.Lock()
	box := m.box
	m.box = nil
	m.mutex.Unlock()
	if box != nil {
		time.Sleep(networkLinger)
		box.close()
	}
	for _, p := range m.programs {
		m.agent.logs.forget(m.key+"/"+p.spec.Name, p.book)
		p.book.close()
	}
	os.RemoveAll(m.folder)
	m.agent.giveBack(m.ip)
}

// find returns the pod's network and a container's process, for who asks the kubelet's API; nil where it does not run.
func (m *machine) find(ctx context.Context, container string) (*sandbox, *process) {
	m.mutex.Lock()
	box := m.box
	m.mutex.Unlock()
	found := make(chan *process, 1)
	select {
	case m.events <- func() {
		for _, p := range m.programs {
			if p.spec.Name == container && p.process != nil {
				found <- p.process
				return
			}
		}
		found <- nil
	}:
		return box, <-found
	case <-m.done:
	case <-ctx.Done():
	}
	return box, nil
}

// report writes the pod's status when it has changed.
func (m *machine) report(ctx context.Context) error {
	status := m.status()
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": m.uid}, "status": status})
	if err != nil || string(body) == m.said {
		return err
	}
	if err := m.agent.write(ctx, m.pod, body); err != nil {
		return err
	}
	m.said = string(body)
	return nil
}

func (m *machine) status() corev1.PodStatus {
	status := corev1.PodStatus{Phase: m.phase, HostIP: m.agent.host, HostIPs: []corev1.HostIP{{IP: m.agent.host}}}
	if m.box != nil {
		status.PodIP, status.PodIPs, status.StartTime = m.ip.String(), []corev1.PodIP{{IP: m.ip.String()}}, &m.began
	}
	initialized, ready := true, m.pod.Annotations[notReady] != "true"
	for _, p := range m.programs {
		said := m.statusOf(p)
		if p.init {
			status.InitContainerStatuses = append(status.InitContainerStatuses, said)
			initialized = initialized && (p.started || (p.last != nil && p.last.ExitCode == 0))
		} else {
			status.ContainerStatuses = append(status.ContainerStatuses, said)
		}
		if !p.init || p.sidecar {
			ready = ready && p.ready
		}
	}
	reason := ""
	if m.phase == corev1.PodSucceeded {
		reason = "PodCompleted"
	} else if !ready {
		reason = "ContainersNotReady"
	}
	status.Conditions = []corev1.PodCondition{m.condition(corev1.PodInitialized, initialized, "", ""),
		m.condition(corev1.ContainersReady, ready, reason, m.why), m.condition(corev1.PodReady, ready, reason, m.why)}
	return status
}

// condition keeps the time at which its status changed last.
func (m *machine) condition(kind corev1.PodConditionType, is bool, reason, message string) corev1.PodCondition {
	now := condition(m.pod, kind, is, reason, message)
	if before, found := m.since[kind]; found && before.Status == now.Status {
		now.LastTransitionTime = before.LastTransitionTime
	}
	m.since[kind] = now
	return now
}

func (m *machine) statusOf(p *program) corev1.ContainerStatus {
	started := p.started
	said := corev1.ContainerStatus{Name: p.spec.Name, Image: p.spec.Image, ImageID: p.spec.Image, Ready: p.ready, Started: &started, RestartCount: max(p.launches-1, 0)}
	switch {
	case p.process != nil:
		said.ContainerID = fmt.Sprintf("lab://%d", p.process.command.Process.Pid)
		said.State.Running = &corev1.ContainerStateRunning{StartedAt: p.began}
		if p.last != nil {
			said.LastTerminationState.Terminated = p.last
		}
	case m.why != "":
		said.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating", Message: m.why}
	case p.last == nil:
		said.State.Waiting = &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	case m.restarts(p) && m.pod.DeletionTimestamp == nil:
		said.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: fmt.Sprintf("it ended with %d", p.last.ExitCode)}
		said.LastTerminationState.Terminated = p.last
	default:
		said.State.Terminated = p.last
	}
	return said
}
