package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	pb "sigs.k8s.io/gateway-api/conformance/echo-basic/grpcechoserver"
)

// grpcEcho serves the conformance suite's GrpcEcho service in plain text (HTTP_PORT, 3000) and, with a certificate, over TLS (HTTPS_PORT, 8443).
func (s *servers) grpcEcho(c *container) error {
	if err := s.serveGRPC(c, c.get("HTTP_PORT", "3000")); err != nil {
		return err
	}
	for _, key := range []string{"TLS_SERVER_PRIVKEY", "TLS_SERVER_PRIV_KEY"} {
		config, err := c.certificate("TLS_SERVER_CERT", key)
		if err != nil {
			return err
		}
		if config != nil {
			return s.serveGRPC(c, c.get("HTTPS_PORT", "8443"), grpc.Creds(credentials.NewTLS(config)))
		}
	}
	return nil
}

func (s *servers) serveGRPC(c *container, port string, options ...grpc.ServerOption) error {
	listener, err := c.listen(port)
	if err != nil {
		return err
	}
	server := grpc.NewServer(options...)
	pb.RegisterGrpcEchoServer(server, &grpcEchoes{c: c})
	reflection.Register(server)
	s.add(closer(server.Stop))
	go func() {
		if err := server.Serve(listener); err != nil {
			c.logs.printf("port %s: %v", port, err)
		}
	}()
	c.logs.printf("listening on port %s (gRPC)", port)
	return nil
}

type grpcEchoes struct {
	pb.UnimplementedGrpcEchoServer // EchoThree is not there on purpose
	c                              *container
}

func (g *grpcEchoes) Echo(ctx context.Context, _ *pb.EchoRequest) (*pb.EchoResponse, error) {
	return g.answer(ctx), nil
}

func (g *grpcEchoes) EchoTwo(ctx context.Context, _ *pb.EchoRequest) (*pb.EchoResponse, error) {
	return g.answer(ctx), nil
}

func (g *grpcEchoes) answer(ctx context.Context) *pb.EchoResponse {
	method, _ := grpc.Method(ctx)
	g.c.logs.printf("Echoing back call of %s", method)
	who := g.c.identity()
	facts := &pb.Assertions{FullyQualifiedMethod: method,
		Context: &pb.Context{Namespace: who.Namespace, Ingress: who.Ingress, ServiceName: who.Service, Pod: who.Pod}}
	received, _ := metadata.FromIncomingContext(ctx)
	for name, values := range received {
		for _, value := range values {
			facts.Headers = append(facts.Headers, &pb.Header{Key: name, Value: value})
			if name == ":authority" {
				facts.Authority = value
			}
		}
	}
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			session := factsOf(&info.State)
			facts.TlsAssertions = &pb.TLSAssertions{Version: session.Version, NegotiatedProtocol: session.NegotiatedProtocol,
				ServerName: session.ServerName, CipherSuite: session.CipherSuite, PeerCertificates: session.PeerCertificates}
		}
	}
	return &pb.EchoResponse{Assertions: facts}
}
