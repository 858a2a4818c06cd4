package main

import (
	"net"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

const mergePatch = types.MergePatchType

// connections are the open ones of a listener: closing it ends them all, as the end of a process does.
type connections struct {
	mutex  sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

func newConnections() *connections { return &connections{open: map[net.Conn]struct{}{}} }

// track holds a connection until the returned function is called, which closes it.
func (c *connections) track(connection net.Conn) func() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.closed {
		connection.Close()
	}
	c.open[connection] = struct{}{}
	return func() {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		delete(c.open, connection)
		connection.Close()
	}
}

func (c *connections) Close() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.closed = true
	for connection := range c.open {
		connection.Close()
	}
	return nil
}
