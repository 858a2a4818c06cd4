package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// services is kube-proxy and the cloud's load balancers: it listens on each address and port of each Service and forwards to ready endpoints.
type services struct {
	client   kubernetes.Interface
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	room     netip.Prefix
	changed  chan struct{}
	fronts   map[front]*forwarder // only keep() touches it
	failed   map[front]bool       // said already
}

// front is where a Service is asked.
type front struct {
	address  string
	protocol corev1.Protocol
}

func startServices(ctx context.Context, client kubernetes.Interface, room netip.Prefix) (*services, error) {
	factory := informers.NewSharedInformerFactory(client, 0)
	s := &services{client: client, services: factory.Core().V1().Services().Lister(), slices: factory.Discovery().V1().EndpointSlices().Lister(),
		room: room, changed: make(chan struct{}, 1), fronts: map[front]*forwarder{}, failed: map[front]bool{}}
	poke := func(any) {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: poke, DeleteFunc: poke, UpdateFunc: func(_, object any) { poke(object) }}
	for _, informer := range []cache.SharedIndexInformer{factory.Core().V1().Services().Informer(), factory.Discovery().V1().EndpointSlices().Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	go s.keep(ctx)
	return s, nil
}

func (s *services) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		time.Sleep(20 * time.Millisecond) // what comes together is taken together
		all, err := s.services.List(labels.Everything())
		if err != nil {
			log.Printf("services: %v", err)
			continue
		}
		s.giveAddresses(ctx, all)
		s.forward(all)
	}
}

// forward makes the listeners what the Services say.
func (s *services) forward(all []*corev1.Service) {
	wanted := map[front][]string{}
	for _, service := range all {
		for _, port := range service.Spec.Ports {
			backends := s.backends(service, port)
			for _, ip := range addressesOf(service) {
				wanted[front{net.JoinHostPort(ip, strconv.Itoa(int(port.Port))), port.Protocol}] = backends
			}
		}
	}
	for at, f := range s.fronts {
		if _, stays := wanted[at]; !stays {
			f.close()
			delete(s.fronts, at)
		}
	}
	for at, backends := range wanted {
		f := s.fronts[at]
		if f == nil {
			var err error
			if f, err = newForwarder(at); err != nil {
				if !s.failed[at] {
					log.Printf("service address %s %s: %v", at.protocol, at.address, err)
				}
				s.failed[at] = true
				continue
			}
			delete(s.failed, at)
			s.fronts[at] = f
		}
		f.set(backends)
	}
}

func addressesOf(service *corev1.Service) []string {
	var addresses []string
	if ip := service.Spec.ClusterIP; ip != "" && ip != corev1.ClusterIPNone {
		addresses = append(addresses, ip)
	}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if ingress.IP != "" {
			addresses = append(addresses, ingress.IP)
		}
	}
	return addresses
}

func (s *services) slicesOf(service *corev1.Service) []*discoveryv1.EndpointSlice {
	slices, err := s.slices.EndpointSlices(service.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name}))
	if err != nil {
		return nil
	}
	return slices
}

func (s *services) backends(service *corev1.Service, port corev1.ServicePort) []string {
	var backends []string
	for _, slice := range s.slicesOf(service) {
		for _, p := range slice.Ports {
			if p.Port == nil || (p.Name == nil && port.Name != "") || (p.Name != nil && *p.Name != port.Name) {
				continue
			}
			for _, e := range slice.Endpoints {
				if (e.Conditions.Ready == nil || *e.Conditions.Ready) && len(e.Addresses) > 0 {
					backends = append(backends, net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*p.Port))))
				}
			}
		}
	}
	return backends
}

// lookup returns the Service, nil when there is none, and where its name leads.
func (s *services) lookup(namespace, name string) (*corev1.Service, []netip.Addr) {
	service, err := s.services.Services(namespace).Get(name)
	if err != nil {
		return nil, nil
	}
	var found []netip.Addr
	if ip, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil {
		return service, []netip.Addr{ip}
	}
	for _, slice := range s.slicesOf(service) {
		for _, e := range slice.Endpoints {
			if ready := e.Conditions.Ready == nil || *e.Conditions.Ready; !ready && !service.Spec.PublishNotReadyAddresses {
				continue
			}
			for _, address := range e.Addresses {
				if ip, err := netip.ParseAddr(address); err == nil {
					found = append(found, ip)
				}
			}
		}
	}
	return service, found
}

// giveAddresses gives each Service of type LoadBalancer an address, as a cloud would; one that it asks for when that is free.
func (s *services) giveAddresses(ctx context.Context, all []*corev1.Service) {
	taken := map[string]bool{}
	var without []*corev1.Service
	for _, service := range all {
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			taken[ingress.IP] = true
		}
		if service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil && len(service.Status.LoadBalancer.Ingress) == 0 {
			without = append(without, service)
		}
	}
	for _, service := range without {
		ip := service.Spec.LoadBalancerIP
		if ip == "" {
			free := s.room.Addr().Next()
			for s.room.Contains(free) && taken[free.String()] {
				free = free.Next()
			}
			ip = free.String()
		}
		if parsed, err := netip.ParseAddr(ip); err != nil || !s.room.Contains(parsed) || taken[ip] {
			continue
		}
		taken[ip] = true
		body := fmt.Sprintf(`{"metadata":{"uid":%q},"status":{"loadBalancer":{"ingress":[{"ip":%q}]}}}`, service.UID, ip)
		if _, err := s.client.CoreV1().Services(service.Namespace).Patch(ctx, service.Name, mergePatch, []byte(body), metav1.PatchOptions{}, "status"); err != nil {
			log.Printf("service %s/%s: %v", service.Namespace, service.Name, err)
		}
	}
}

// forwarder is one front: it takes connections or datagrams and passes them on to a backend picked by chance.
type forwarder struct {
	mutex    sync.Mutex
	backends []string
	close    func()
}

func (f *forwarder) set(backends []string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.backends = backends
}

func (f *forwarder) pick() string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if len(f.backends) == 0 {
		return ""
	}
	return f.backends[rand.IntN(len(f.backends))]
}

func newForwarder(at front) (*forwarder, error) {
	f := &forwarder{}
	switch at.protocol {
	case corev1.ProtocolTCP:
		listener, err := net.Listen("tcp", at.address)
		if err != nil {
			return nil, err
		}
		connections := newConnections()
		f.close = func() { listener.Close(); connections.Close() }
		go func() {
			for {
				client, err := listener.Accept()
				if err != nil {
					return
				}
				go f.relay(client.(*net.TCPConn), connections)
			}
		}()
	case corev1.ProtocolUDP:
		socket, err := net.ListenPacket("udp", at.address)
		if err != nil {
			return nil, err
		}
		f.close = func() { socket.Close() }
		go f.relayDatagrams(socket)
	default:
		return nil, fmt.Errorf("protocol %s is not forwarded", at.protocol)
	}
	return f, nil
}

func (f *forwarder) relay(client *net.TCPConn, connections *connections) {
	defer connections.track(client)()
	backend := f.pick()
	if backend == "" {
		_ = client.SetLinger(0) // nobody is there: as near to a refusal as an accepted connection can be
		return
	}
	dialled, err := net.DialTimeout("tcp", backend, 5*time.Second)
	if err != nil {
		_ = client.SetLinger(0)
		return
	}
	server := dialled.(*net.TCPConn)
	defer connections.track(server)()
	done := make(chan struct{}, 2)
	pass := func(to, from *net.TCPConn) {
		_, _ = to.ReadFrom(from)
		_ = to.CloseWrite()
		done <- struct{}{}
	}
	go pass(server, client)
	go pass(client, server)
	<-done
	<-done
}

// relayDatagrams keeps one socket towards a backend for each client, for half a minute of silence.
func (f *forwarder) relayDatagrams(socket net.PacketConn) {
	const patience = 30 * time.Second
	var mutex sync.Mutex
	flows := map[string]net.Conn{}
	buffer := make([]byte, 65536)
	for {
		size, from, err := socket.ReadFrom(buffer)
		if err != nil {
			mutex.Lock()
			defer mutex.Unlock()
			for _, flow := range flows {
				flow.Close()
			}
			return
		}
		mutex.Lock()
		flow := flows[from.String()]
		mutex.Unlock()
		if flow == nil {
			if flow, err = net.Dial("udp", f.pick()); err != nil {
				continue
			}
			mutex.Lock()
			flows[from.String()] = flow
			mutex.Unlock()
			go func() {
				defer func() {
					mutex.Lock()
					defer mutex.Unlock()
					delete(flows, from.String())
					flow.Close()
				}()
				answer := make([]byte, 65536)
				for {
					_ = flow.SetReadDeadline(time.Now().Add(patience))
					size, err := flow.Read(answer)
					if err != nil {
						return
					}
					_, _ = socket.WriteTo(answer[:size], from)
				}
			}()
		}
		_, _ = flow.Write(buffer[:size])
	}
}
