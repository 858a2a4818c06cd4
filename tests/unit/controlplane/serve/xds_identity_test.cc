// Who may be which node of the xDS services, by certificate and by token, as clients see it over real gRPC.
#include "base/file.h"
#include "controlplane/serve/credentials.h"
#include "tests/unit/controlplane/serve/make_tokens.h"
#include "tests/unit/controlplane/serve/xds_clients.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

#include <grpcpp/generic/generic_stub.h>

namespace xds_identity_test {

using namespace fairlead;
using namespace fairlead::test;

TEST_CASE("with TLS a client is the node that the rules let it be, and no other") {
  test::Authority own("Servers"), clients("Clients");
  TemporaryDirectory d;
  const test::MadeCertificate server = own.issue("server", "DNS:control.test"), client = clients.issue("client", "URI:spiffe://test/n1");
  serve::Credentials::Files files;
  files.certificate = d.write("cert.pem", server.chain);
  files.key = d.write("key.pem", server.key);
  files.client_ca = d.write("ca.pem", clients.pem());
  files.rules = {{"spiffe://test/{name}=id:{name},cluster:*", "--xds-authorize"}};
  const auto loaded = serve::Credentials::load(files);
  REQUIRE(loaded.ok());
  XdsServer::Options o;
  o.tls = loaded->tls;
  o.authorization = loaded->authorization;
  Running run(o);
  run.apply(edge());
  grpc::ChannelArguments args;
  args.SetSslTargetNameOverride("control.test");
  const auto channel = grpc::CreateCustomChannel(run.server->address(), grpc::SslCredentials({own.pem(), client.key, client.chain}), args);
  Asking good(channel, "n1"), bad(channel, "n2");
  CHECK(good.answered());
  const grpc::Status refused = bad.end();
  CHECK(refused.error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(refused.error_message() == "client spiffe://test/n1 may not be node id \"n2\", cluster \"edge\": rules for it: spiffe://test/{name}=id:{name},cluster:*");
  files.rules = {{"spiffe://test/n2=id:*,cluster:*", "--xds-authorize"}};
  run.server->set_credentials(loaded->tls, serve::Credentials::load(files)->authorization);
  CHECK(good.end().error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(run.server->ask<uint64_t>([](Core& core) { return core.metrics().credentials_loaded; }) == 1);
  CHECK(run.server->ask<int64_t>([](Core& core) { return core.metrics().certificate_expires; }) > std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
}

namespace {

int64_t unix_now() { return std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()); }

serve::TokenVerifier::Policy token_policy() { return {"https://kubernetes.default.svc", {"fairlead"}}; }

std::shared_ptr<const serve::TokenVerifier> tokens_of(const Signer& signer) {
  auto made = serve::TokenVerifier::parse(jwks({signer.jwk()}), "keys.json", token_policy());
  REQUIRE(made.ok());
  return std::make_shared<const serve::TokenVerifier>(*std::move(made));
}

std::shared_ptr<const serve::Authorization> rules_of(const std::string& rule) {
  auto made = serve::Authorization::parse({{rule, "--xds-authorize"}});
  REQUIRE(made.ok());
  return std::make_shared<const serve::Authorization>(*std::move(made));
}

}  // namespace

TEST_CASE("with tokens a client is the node that the rules let its service account and its pod be, stream by stream of one connection") {
  const Signer signer;
  XdsServer::Options o;
  o.tokens = tokens_of(signer);
  o.authorization = rules_of("spiffe://cluster.local/ns/{ns}/sa/{name}/pod/{pod}=id:{pod},cluster:{name}");
  o.core.max_streams_per_connection = 3;
  Running run(o);
  run.apply(edge());
  const auto channel = run.channel();
  const std::string one = "Bearer " + signer.token(pod_claims(unix_now())), two = "bearer  " + signer.token(pod_claims(unix_now(), "prod", "edge", "edge-2"));
  Asking first(channel, "edge-7f9c-x", {one}), second(channel, "edge-2", {two}), wrong(channel, "edge-7f9c-x", {two});
  CHECK(first.answered());
  CHECK(second.answered());
  const grpc::Status refused = wrong.end();
  CHECK(refused.error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(refused.error_message().find("client spiffe://cluster.local/ns/prod/sa/edge, spiffe://cluster.local/ns/prod/sa/edge/pod/edge-2 may not be node id \"edge-7f9c-x\"") == 0);
  CHECK(denied(run, serve::Denial::kNotAuthorized) == 1);
  run.await_streams(2);
  // the connection counts, not which of its tokens a call shows
  Asking more(channel, "edge-7f9c-x", {one});
  CHECK(more.answered());
  Asking too_many(channel, "edge-7f9c-x", {"Bearer " + signer.token(pod_claims(unix_now() - 1))});
  CHECK(too_many.end().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(denied(run, serve::Denial::kStreamsPerConnection) == 1);
}

TEST_CASE("a call without a token that does is unauthenticated, counted and told about once, and no token is in the log; health checks need none") {
  const Signer signer, other;
  XdsServer::Options o;
  o.tokens = tokens_of(signer);
  Running run(o);
  run.apply(edge());
  TemporaryDirectory d;
  REQUIRE(log::log_to_file(d.path("log")).ok());
  log::set_level(log::Level::info);
  const auto channel = run.channel();
  const std::string token = other.token(pod_claims(unix_now()));
  const auto refused = [&](const std::vector<std::string>& authorization) {
    Asking asking(channel, "n1", authorization);
    const grpc::Status status = asking.end();
    CHECK(status.error_code() == grpc::StatusCode::UNAUTHENTICATED);
    return status.error_message();
  };
  CHECK(refused({}) == "a token is needed: \"authorization: Bearer TOKEN\" in the call's metadata, or a client certificate");
  CHECK(refused({"Bearer " + token}) == "token refused: its signature does not fit");
  CHECK(refused({"Bearer " + signer.token(pod_claims(unix_now() - 7200))}).find("token refused: it expired 36") == 0);
  CHECK(refused({"Bearer"}) == "token refused: not three parts with dots between them");
  CHECK(refused({"Basic dXNlcjpwYXNz"}) == "authorization is not \"Bearer TOKEN\"");
  CHECK(refused({token}) == "authorization is not \"Bearer TOKEN\"");
  CHECK(refused({"Bearer " + token, "Bearer " + token}) == "authorization is given 2 times");
  CHECK(denied(run, serve::Denial::kNotAuthenticated) == 7);
  CHECK(run.streams() == 0);
  Asking good(channel, "n1", {"Bearer " + signer.token(pod_claims(unix_now()))});
  CHECK(good.answered());
  log::set_level(log::Level::off);
  log::flush();
  const std::string text = *read_file(d.path("log"));
  REQUIRE(log::log_to_file("").ok());
  CHECK(text.find("is not let in: a token is needed") != std::string::npos);
  CHECK(text.find("is not let in") == text.rfind("is not let in"));
  CHECK(text.find(token.substr(token.rfind('.') + 1)) == std::string::npos);
  CHECK(text.find(token.substr(0, 20)) == std::string::npos);
  grpc::GenericStub stub(channel);
  auto c = context();
  grpc::CompletionQueue queue;
  grpc::ByteBuffer request, answer;
  {
    const grpc::Slice empty("");
    request = grpc::ByteBuffer(&empty, 1);
  }
  auto call = stub.PrepareUnaryCall(c.get(), "/grpc.health.v1.Health/Check", request, &queue);
  grpc::Status status;
  call->StartCall();
  call->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  REQUIRE(queue.Next(&tag, &ok));
  CHECK(status.ok());
}

TEST_CASE("keys of tokens that change hold for new streams; those that are open go on, until rules no longer let them") {
  const Signer before, after;
  XdsServer::Options o;
  o.tokens = tokens_of(before);
  Running run(o);
  run.apply(edge());
  const auto channel = run.channel();
  const std::string old = "Bearer " + before.token(pod_claims(unix_now()));
  Asking open(channel, "n1", {old});
  CHECK(open.answered());
  run.server->set_credentials(nullptr, nullptr, tokens_of(after));
  CHECK(run.streams() == 1);  // asked behind it
  Asking late(channel, "n1", {old});
  CHECK(late.end().error_code() == grpc::StatusCode::UNAUTHENTICATED);
  Asking anew(channel, "n1", {"Bearer " + after.token(pod_claims(unix_now()))});
  CHECK(anew.answered());
  CHECK(run.streams() == 2);
  run.server->set_credentials(nullptr, rules_of("spiffe://cluster.local/ns/prod/sa/other=id:*,cluster:*"), tokens_of(after));
  CHECK(open.end().error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(anew.end().error_code() == grpc::StatusCode::PERMISSION_DENIED);
}

TEST_CASE("with certificates and tokens either does, a wrong token does not, and a certificate that is not verified is none") {
  test::Authority own("Servers"), clients("Clients"), others("Others");
  TemporaryDirectory d;
  const test::MadeCertificate server = own.issue("server", "DNS:control.test"), client = clients.issue("client", "URI:spiffe://test/n1"), foreign = others.issue("client", "URI:spiffe://test/n1");
  const Signer signer("RS256");
  serve::Credentials::Files files;
  files.certificate = d.write("cert.pem", server.chain);
  files.key = d.write("key.pem", server.key);
  files.client_ca = d.write("ca.pem", clients.pem());
  files.token_keys = d.write("keys.json", jwks({signer.jwk()}));
  files.token_policy = token_policy();
  files.rules = {{"spiffe://test/{name}=id:{name},cluster:*", "--xds-authorize"}, {"spiffe://cluster.local/ns/prod/sa/edge=id:n2,cluster:*", "--xds-authorize"}};
  const auto loaded = serve::Credentials::load(files);
  REQUIRE(loaded.ok());
  XdsServer::Options o;
  o.tls = loaded->tls;
  o.authorization = loaded->authorization;
  o.tokens = loaded->tokens;
  Running run(o);
  run.apply(edge());
  const auto connect = [&](const std::string& key, const std::string& chain) {
    grpc::ChannelArguments args;
    args.SetSslTargetNameOverride("control.test");
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(run.server->address(), grpc::SslCredentials({own.pem(), key, chain}), args);
  };
  const std::string token = "Bearer " + signer.token(pod_claims(unix_now()));
  const auto with_certificate = connect(client.key, client.chain), without = connect("", "");
  Asking by_certificate(with_certificate, "n1"), by_token(without, "n2", {token}), by_both(with_certificate, "n2", {token}), by_neither(without, "n1"), by_wrong(with_certificate, "n1", {token + "x"});
  CHECK(by_certificate.answered());
  CHECK(by_token.answered());
  CHECK(by_both.answered());
  CHECK(by_neither.end().error_code() == grpc::StatusCode::UNAUTHENTICATED);
  CHECK(by_wrong.end().error_code() == grpc::StatusCode::UNAUTHENTICATED);
  auto c = std::make_unique<grpc::ClientContext>();
  c->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(3));
  auto stream = AggregatedDiscoveryService::NewStub(connect(foreign.key, foreign.chain))->DeltaAggregatedResources(c.get());
  stream->Write(request<DeltaDiscoveryRequest>(Type::kCluster, "n1"));
  DeltaDiscoveryResponse r;
  CHECK_FALSE(stream->Read(&r));
  CHECK(stream->Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
}

}  // namespace xds_identity_test
