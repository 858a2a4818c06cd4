package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a container that runs: the first process of its namespaces, with which all others of it end.
type process struct {
	command *exec.Cmd
	spec    containerSpec
	done    chan struct{} // closed when it has ended and all that it printed is in the book
	code    int           // of the end, after done
	signal  int
}

// startProcess starts a container in a pod's network. What it prints goes to the book.
func startProcess(spec containerSpec, box *sandbox, logs *book) (*process, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	given, giver, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer given.Close()
	printed, out, err := os.Pipe()
	if err != nil {
		giver.Close()
		return nil, err
	}
	defer out.Close()
	if spec.SwitchUser {
		_ = out.Chown(spec.User, spec.Group) // a program may open /dev/stdout
	}
	command := exec.Command("/proc/self/exe")
	command.Args = []string{initContainer}
	command.Env = []string{"PATH=" + os.Getenv("PATH")}
	command.Stdout, command.Stderr = out, out
	command.ExtraFiles = []*os.File{given, box.net}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS, Setsid: true}
	if err := command.Start(); err != nil {
		giver.Close()
		printed.Close()
		return nil, err
	}
	go func() { // in a thread of its own: it is more than a pipe holds
		_, _ = giver.Write(text)
		giver.Close()
	}()
	p := &process{command: command, spec: spec, done: make(chan struct{})}
	go func() {
		logs.take(printed)
		printed.Close()
		_ = command.Wait()
		if status, is := command.ProcessState.Sys().(syscall.WaitStatus); is && status.Signaled() {
			p.code, p.signal = 128+int(status.Signal()), int(status.Signal())
		} else {
			p.code = command.ProcessState.ExitCode()
		}
		close(p.done)
	}()
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) kill(signal syscall.Signal) { _ = p.command.Process.Signal(signal) }

// inside makes a command that runs in the container, as its user.
func (p *process) inside(command []string) *exec.Cmd {
	arguments := []string{"--target", strconv.Itoa(p.command.Process.Pid), "--mount", "--net", "--ipc", "--uts", "--pid", "--root", "--wd"}
	if p.spec.SwitchUser {
		arguments = append(arguments, "--setgid", strconv.Itoa(p.spec.Group), "--setuid", strconv.Itoa(p.spec.User))
	}
	run := exec.Command("nsenter", append(append(arguments, "--"), command...)...)
	run.Env = p.spec.Env
	run.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	run.WaitDelay = time.Second
	return run
}

// ask runs a command in the container and returns its error with what it printed.
func (p *process) ask(command []string, timeout time.Duration) error {
	run := p.inside(command)
	var said bytes.Buffer
	run.Stdout, run.Stderr = &said, &said
	if err := run.Start(); err != nil {
		return err
	}
	late := time.AfterFunc(timeout, func() { _ = syscall.Kill(-run.Process.Pid, syscall.SIGKILL) })
	err := run.Wait()
	if !late.Stop() {
		return fmt.Errorf("%v: no answer in %v", command, timeout)
	}
	if err != nil {
		return fmt.Errorf("%v: %w: %s", command, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}
