package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

const (
	streamsWithin = 10 * time.Second
	idleStreams   = 10 * time.Minute
)

func (a *podAgent) machineOf(r *http.Request) *machine {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.machines[r.PathValue("namespace")+"/"+r.PathValue("pod")]
}

// upgrade makes of a request a connection of many streams, which it gives to `take` one after the other; it returns when the connection ends.
func upgrade(w http.ResponseWriter, r *http.Request, protocol string, take func(httpstream.Connection, <-chan httpstream.Stream)) {
	if _, err := httpstream.Handshake(r, w, []string{protocol}); err != nil {
		return // it has been told
	}
	streams := make(chan httpstream.Stream, 16)
	connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
		streams <- stream
		return nil
	})
	if connection == nil {
		return
	}
	defer connection.Close()
	connection.SetIdleTimeout(idleStreams)
	take(connection, streams)
}

// servePortForward: for each connection that kubectl takes there are two streams of one requestID, one for errors and one for data. They lead to the pod's loopback, as with
// any kubelet: what listens on 127.0.0.1 alone is reached.
func (a *podAgent) servePortForward(w http.ResponseWriter, r *http.Request) {
	m := a.machineOf(r)
	if m == nil {
		http.Error(w, "ports of echo servers are not forwarded", http.StatusNotImplemented)
		return
	}
	upgrade(w, r, "portforward.k8s.io", func(connection httpstream.Connection, streams <-chan httpstream.Stream) {
		errorStreams, dataStreams := map[string]httpstream.Stream{}, map[string]httpstream.Stream{}
		for {
			select {
			case <-connection.CloseChan():
				return
			case stream := <-streams:
				id := stream.Headers().Get(corev1.PortForwardRequestIDHeader)
				if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
					errorStreams[id] = stream
				} else {
					dataStreams[id] = stream
				}
				if errorStreams[id] == nil || dataStreams[id] == nil {
					continue
				}
				go m.forward(connection, errorStreams[id], dataStreams[id])
				delete(errorStreams, id)
				delete(dataStreams, id)
			}
		}
	})
}

func (m *machine) forward(connection httpstream.Connection, complaints, data httpstream.Stream) {
	defer connection.RemoveStreams(complaints, data)
	defer complaints.Close()
	defer data.Close()
	m.mutex.Lock()
	box := m.box
	m.mutex.Unlock()
	var server net.Conn
	err := errors.New("the pod does not run")
	if box != nil {
		server, err = box.dial(data.Headers().Get(corev1.PortHeader))
	}
	if err != nil {
		fmt.Fprintf(complaints, "error forwarding port %s to pod %s: %v", data.Headers().Get(corev1.PortHeader), m.key, err)
		return
	}
	defer server.Close()
	answered := make(chan struct{})
	go func() {
		_, _ = io.Copy(data, server)
		close(answered)
	}()
	if _, err := io.Copy(server, data); err == nil {
		_ = server.(*net.TCPConn).CloseWrite()
	}
	<-answered
}

// serveExec runs a command in a container; without a terminal.
func (a *podAgent) serveExec(w http.ResponseWriter, r *http.Request) {
	m := a.machineOf(r)
	if m == nil {
		http.Error(w, "there is nothing to run commands in: an echo server stands for the pod", http.StatusNotImplemented)
		return
	}
	query := r.URL.Query()
	_, container := m.find(r.Context(), r.PathValue("container"))
	if container == nil || len(query["command"]) == 0 || query.Get(corev1.ExecTTYParam) == "1" {
		http.Error(w, "no such container runs, there is no command, or it wants a terminal", http.StatusBadRequest)
		return
	}
	wanted := 1
	for _, name := range []string{corev1.ExecStdinParam, corev1.ExecStdoutParam, corev1.ExecStderrParam} {
		if query.Get(name) == "1" {
			wanted++
		}
	}
	upgrade(w, r, "v4.channel.k8s.io", func(_ httpstream.Connection, streams <-chan httpstream.Stream) {
		by := map[string]httpstream.Stream{}
		for len(by) < wanted {
			select {
			case stream := <-streams:
				by[stream.Headers().Get(corev1.StreamType)] = stream
			case <-time.After(streamsWithin):
				log.Printf("pod %s: exec: %d of %d streams came", m.key, len(by), wanted)
				return
			}
		}
		status := runCommand(container, query["command"], by)
		text, _ := json.Marshal(&status)
		if verdict := by[corev1.StreamTypeError]; verdict != nil {
			_, _ = verdict.Write(text)
		}
		for _, stream := range by {
			stream.Close()
		}
	})
}

// runCommand returns the verdict in the words of the protocol: the exit code is a cause.
func runCommand(container *process, command []string, by map[string]httpstream.Stream) metav1.Status {
	inside := container.inside(command)
	if stream := by[corev1.StreamTypeStdout]; stream != nil {
		inside.Stdout = stream
	}
	if stream := by[corev1.StreamTypeStderr]; stream != nil {
		inside.Stderr = stream
	}
	if stream := by[corev1.StreamTypeStdin]; stream != nil {
		stdin, err := inside.StdinPipe()
		if err == nil {
			go func() {
				_, _ = io.Copy(stdin, stream)
				stdin.Close()
			}()
		}
	}
	err := inside.Run()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return metav1.Status{Status: metav1.StatusSuccess}
	case errors.As(err, &ended):
		return metav1.Status{Status: metav1.StatusFailure, Reason: "NonZeroExitCode", Message: err.Error(),
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: "ExitCode", Message: strconv.Itoa(ended.ExitCode())}}}}
	}
	return metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError, Message: err.Error()}
}
