package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// sandbox is a pod's network namespace: loopback of its own, and the pod's address at the end of a veth whose other end is the node's.
// A process of ours holds it and ends with us.
type sandbox struct {
	holder *exec.Cmd
	stdin  io.Closer
	net    *os.File
	link   string
}

// newSandbox makes it, with the pod's sysctls. `node` is the address by which everything else is reached.
func newSandbox(pod *corev1.Pod, ip netip.Addr, node string, number int) (*sandbox, error) {
	command := exec.Command("/proc/self/exe", holdNetwork)
	command.Args = []string{holdNetwork, ip.String(), node}
	if security := pod.Spec.SecurityContext; security != nil {
		for _, s := range security.Sysctls {
			command.Args = append(command.Args, s.Name+"="+s.Value)
		}
	}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Setsid: true}
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("a network namespace: %w", err)
	}
	s := &sandbox{holder: command, stdin: stdin, link: fmt.Sprintf("pod%d", number)}
	said := bufio.NewReader(stdout)
	if s.net, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", command.Process.Pid)); err == nil {
		err = s.connect(ip, node)
	}
	if err == nil {
		if _, err = io.WriteString(stdin, "connected\n"); err == nil {
			var line string
			if line, err = said.ReadString('\n'); err != nil || line != "ready\n" {
				err = fmt.Errorf("the pod's network namespace was not set up: %q, %w", line, err)
			}
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// connect gives the namespace its veth, and the node the way there. All addresses of pods are local here; this one's route is the longer prefix.
func (s *sandbox) connect(ip netip.Addr, node string) error {
	pid := fmt.Sprint(s.holder.Process.Pid)
	for _, arguments := range [][]string{
		{"link", "add", s.link, "type", "veth", "peer", "name", "eth0", "netns", pid},
		{"link", "set", s.link, "up"},
		{"route", "add", "unicast", ip.String() + "/32", "dev", s.link, "table", "local", "scope", "link", "src", node},
	} {
		if err := ip2(arguments...); err != nil {
			return err
		}
	}
	return nil
}

func ip2(arguments ...string) error {
	if said, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(arguments, " "), err, strings.TrimSpace(string(said)))
	}
	return nil
}

func (s *sandbox) close() {
	if s.net != nil {
		s.net.Close()
	}
	s.stdin.Close()
	_ = s.holder.Process.Kill()
	_ = s.holder.Wait()
}

// dial connects to a port of the pod's loopback.
func (s *sandbox) dial(port string) (net.Conn, error) {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	if err := unix.Setns(int(s.net.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	connection, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", port))
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		return connection, err // the thread stays locked, and so ends with its goroutine
	}
	runtime.UnlockOSThread()
	return connection, err
}

const holdNetwork = "hold-network" // arguments: the pod's address, the node's, sysctls

// holdNetworkMain is the process that holds a pod's network namespace: when its end of the veth is there it sets it up, and waits.
func holdNetworkMain(arguments []string) error {
	stdin := bufio.NewReader(os.Stdin)
	if _, err := stdin.ReadString('\n'); err != nil {
		return nil // the other end gave up
	}
	address, node := arguments[0], arguments[1]
	for _, command := range [][]string{
		{"link", "set", "lo", "up"}, {"addr", "add", address + "/32", "dev", "eth0"}, {"link", "set", "eth0", "up"},
		{"route", "add", node, "dev", "eth0"}, {"route", "add", "default", "via", node, "src", address},
	} {
		if err := ip2(command...); err != nil {
			return err
		}
	}
	for _, sysctl := range arguments[2:] {
		name, value, _ := strings.Cut(sysctl, "=")
		if err := os.WriteFile(filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/")), []byte(value), 0); err != nil {
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	fmt.Println("ready")
	_, _ = stdin.ReadString('\n') // until the agent closes it, or ends
	return nil
}
