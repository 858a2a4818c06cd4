// Drives an HTTP/1 session over a simulated connection and writes down what comes out (shared by the h1 tests and fuzzers).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/http/h1/session.h"
#include "dataplane/net/simulated.h"
#include "tests/unit/dataplane/http/messages.h"

namespace fairlead::h1::test {

using namespace http::test;

// The far end: collects bytes.
struct Peer : net::ConnectionEvents {
  std::string received;
  bool closed = false;
  bool ended = false;
  net::CloseReason reason{};
  void on_data(net::Buffer& data, bool end) override {
    received += data.to_string();
    data.clear();
    ended = ended || end;
  }
  void on_closed(net::CloseReason r) override {
    closed = true;
    reason = r;
  }
};

// A server session whose requests are collected; errors are answered with their status and details unless `answer_errors` is off.
struct ServerRig : Loop, http::ServerSessionEvents {
  explicit ServerRig(const Settings& settings = {}, const net::Connection::Options& options = {}) : pair(loop, options) {
    client = pair.take_b();
    client->set_events(&peer);
    session = make_server_session(pair.take_a(), settings, *this);
  }
  ~ServerRig() override { session.reset(); }

  http::MessageReceiver* on_stream(http::MessageSender& sender) override {
    requests.push_back(std::make_unique<Message>());
    requests.back()->sender = &sender;
    requests.back()->when_head = when_head;
    requests.back()->when_ended = when_ended;
    return requests.back().get();
  }
  void on_protocol_error(http::MessageSender& sender, http::MessageReceiver&, const http::ProtocolError& e) override {
    error_calls++;
    error = std::to_string(e.status) + " " + std::string(e.details);
    if (requests.back()->sender != nullptr && !responded) send(sender, {{":status", std::to_string(e.status)}}, "refused");
    else sender.reset(http::ResetReason::ProtocolError);
  }
  void on_request_begins() override { ++begins; }
  void on_idle() override { ++idles; }
  void on_session_closed(net::CloseReason r) override {
    closed = true;
    reason = r;
  }

  void write(std::string_view bytes) { client->write(bytes); }

  net::SimulatedPair pair;
  Peer peer;
  net::ConnectionPtr client;
  net::DeferredPtr<http::ServerSession> session;
  std::vector<std::unique_ptr<Message>> requests;
  std::function<void(Message&)> when_head;
  std::function<void(Message&)> when_ended;
  std::string error;
  int error_calls = 0;
  int begins = 0;
  int idles = 0;
  bool responded = false;
  bool closed = false;
  net::CloseReason reason{};
};

struct ClientRig : Loop, http::ClientSessionEvents {
  explicit ClientRig(const Settings& settings = {}, const net::Connection::Options& options = {}) : pair(loop, options) {
    server = pair.take_b();
    server->set_events(&peer);
    session = make_client_session(pair.take_a(), settings, *this);
  }
  ~ClientRig() override { session.reset(); }
  void on_stream_slot() override {
    ++slots;
    if (when_slot) when_slot();
  }
  void on_session_closed(net::CloseReason r) override {
    closed = true;
    reason = r;
  }
  http::MessageSender& start(std::vector<std::pair<std::string, std::string>> headers, std::string body = "", bool end = true) {
    response = std::make_unique<Message>();
    response->sender = &session->new_stream(*response);
    send(*response->sender, std::move(headers), std::move(body), end);
    return *response->sender;
  }
  http::MessageSender& get() { return start({{":method", "GET"}, {":path", "/"}, {":authority", "a"}}); }
  void write(std::string_view bytes) { server->write(bytes); }

  net::SimulatedPair pair;
  Peer peer;
  net::ConnectionPtr server;
  net::DeferredPtr<http::ClientSession> session;
  std::unique_ptr<Message> response;
  std::function<void()> when_slot;
  int slots = 0;
  bool closed = false;
  net::CloseReason reason{};
};

}  // namespace fairlead::h1::test
