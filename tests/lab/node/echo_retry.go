package main

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// retries is a backend that fails at first: /retry/?uuid=U&succeedAfter=N fails the first N requests of each U and echoes the later ones.
// A failure is `responseCode`, or without it a reset connection; `delayRetry` delays it.
type retries struct {
	echo  http.Handler
	mutex sync.Mutex
	seen  map[string]int
}

func newRetries(echo http.Handler) *retries { return &retries{echo: echo, seen: map[string]int{}} }

// fails counts a request that is to fail.
func (r *retries) fails(id string, first int) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.seen[id] >= first {
		return false
	}
	r.seen[id]++
	return true
}

func (r *retries) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	query := request.URL.Query()
	first, err := strconv.Atoi(query.Get("succeedAfter"))
	if err != nil || query.Get("uuid") == "" {
		http.Error(w, "uuid and succeedAfter are required", http.StatusBadRequest)
		return
	}
	if !r.fails(query.Get("uuid"), first) {
		r.echo.ServeHTTP(w, request)
		return
	}
	if delay, err := time.ParseDuration(query.Get("delayRetry")); err == nil {
		time.Sleep(delay)
	}
	if code, err := strconv.Atoi(query.Get("responseCode")); err == nil {
		w.WriteHeader(code)
		return
	}
	hijacker, can := w.(http.Hijacker)
	if !can {
		panic(http.ErrAbortHandler) // HTTP/2: a reset stream
	}
	if connection, _, err := hijacker.Hijack(); err == nil {
		if tcp, is := connection.(*net.TCPConn); is {
			_ = tcp.SetLinger(0)
		}
		connection.Close()
	}
}
