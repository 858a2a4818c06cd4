package main

import (
	"fmt"
	"net"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const clusterDomain = ".svc.cluster.local."

// answerDNS answers one query with what `know` says of its question; nil when it is no query.
func answerDNS(request []byte, know func(dnsmessage.Question) ([]dnsmessage.ResourceBody, dnsmessage.RCode)) []byte {
	var query dnsmessage.Message
	if err := query.Unpack(request); err != nil || len(query.Questions) != 1 {
		return nil
	}
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: query.ID, Response: true, Authoritative: true, RecursionDesired: query.RecursionDesired},
		Questions: query.Questions}
	var known []dnsmessage.ResourceBody
	known, reply.RCode = know(query.Questions[0])
	for _, body := range known {
		if _, isA := body.(*dnsmessage.AResource); isA && query.Questions[0].Type != dnsmessage.TypeA {
			continue // the name is there, the type is not
		}
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Body: body,
			Header: dnsmessage.ResourceHeader{Name: query.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 5}})
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// serveDNS answers for NAME.NAMESPACE.svc.cluster.local: the Service's address, the endpoints of a headless one, the alias of an ExternalName.
func serveDNS(address string, s *services) error {
	socket, err := net.ListenPacket("udp", net.JoinHostPort(address, "53"))
	if err != nil {
		return fmt.Errorf("DNS: %w", err)
	}
	go func() {
		buffer := make([]byte, 65536)
		for {
			size, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := answerDNS(buffer[:size], s.resolve); reply != nil {
				_, _ = socket.WriteTo(reply, from)
			}
		}
	}()
	return nil
}

func (s *services) resolve(q dnsmessage.Question) ([]dnsmessage.ResourceBody, dnsmessage.RCode) {
	name, found := strings.CutSuffix(strings.ToLower(q.Name.String()), clusterDomain)
	parts := strings.Split(name, ".")
	if !found || len(parts) != 2 {
		return nil, dnsmessage.RCodeNameError
	}
	service, addresses := s.lookup(parts[1], parts[0])
	if service == nil {
		return nil, dnsmessage.RCodeNameError
	}
	if service.Spec.ExternalName != "" {
		alias, err := dnsmessage.NewName(strings.TrimSuffix(service.Spec.ExternalName, ".") + ".")
		if err != nil {
			return nil, dnsmessage.RCodeServerFailure
		}
		return []dnsmessage.ResourceBody{&dnsmessage.CNAMEResource{CNAME: alias}}, dnsmessage.RCodeSuccess
	}
	var answers []dnsmessage.ResourceBody
	for _, ip := range addresses {
		if ip.Is4() {
			answers = append(answers, &dnsmessage.AResource{A: ip.As4()})
		}
	}
	return answers, dnsmessage.RCodeSuccess
}
