// Drives an HTTP/1 session over a simulated connection and writes down what comes out (shared by the h1 tests and fuzzers).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/http/h1/session.h"
#include "dataplane/net/simulated.h"

namespace fairlead::h1::test {

inline std::string text_of(const http::HeaderMap& headers) {
  std::string text;
  for (const http::Header& h : headers) text += std::string(h.name()) + ": " + std::string(h.value()) + "\n";
  return text;
}

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

// One message as received.
struct Message : http::MessageReceiver {
  http::Arena memory;
  http::MessageSender* sender = nullptr;
  std::string head;
  std::vector<std::string> informational;
  std::string body;
  std::string trailers;
  bool has_head = false;
  bool ended = false;
  bool reset = false;
  bool after_end = false;  // a call came after the end
  http::ResetReason reason{};
  std::string detail;
  int blocked = 0;
  int ready = 0;
  std::function<void(Message&)> when_head;
  std::function<void(Message&)> when_ended;

  http::Arena& arena() override { return memory; }
  void on_headers(http::HeaderMap& headers, bool end) override {
    after_end = after_end || ended || reset;
    has_head = true;
    head = text_of(headers);
    ended = end;
    if (when_head) when_head(*this);
    if (ended && when_ended) when_ended(*this);
  }
  void on_informational(http::HeaderMap& headers) override { informational.push_back(text_of(headers)); }
  void on_data(net::Buffer& data, bool end) override {
    after_end = after_end || ended || reset || !has_head;
    body += data.to_string();
    data.clear();
    ended = ended || end;
    if (ended && when_ended) when_ended(*this);
  }
  void on_trailers(http::HeaderMap& headers) override {
    after_end = after_end || ended || reset;
    trailers = text_of(headers);
    ended = true;
    if (when_ended) when_ended(*this);
  }
  void on_reset(http::ResetReason r, std::string_view d) override {
    after_end = after_end || reset;
    reset = true;
    reason = r;
    detail = std::string(d);
  }
  void on_write_blocked() override { ++blocked; }
  void on_write_ready() override { ++ready; }
};

// Sends a head (and body) given as name/value pairs.
inline void send(http::MessageSender& sender, std::vector<std::pair<std::string, std::string>> headers, std::string body = "", bool end = true) {
  http::Arena arena;
  http::HeaderMap map(arena);
  for (auto& [name, value] : headers) map.add(name, value);
  sender.send_headers(map, end && body.empty());
  if (body.empty()) return;
  net::Buffer data(body);
  sender.send_data(data, end);
}

// A server session whose requests are collected; errors are answered with their status and details unless `answer_errors` is off.
struct ServerRig : http::ServerSessionEvents {
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
  bool run(const std::function<bool()>& done) { return loop.run_until(done, std::chrono::seconds(5)); }
  // Lets everything in flight arrive.
  void settle() {
    for (int i = 0; i < 6; ++i) {
      bool turned = false;
      loop.post([&] { turned = true; });
      loop.run_until([&] { return turned; }, std::chrono::seconds(5));
    }
  }

  net::EventLoop loop;
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

struct ClientRig : http::ClientSessionEvents {
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
  bool run(const std::function<bool()>& done) { return loop.run_until(done, std::chrono::seconds(5)); }
  void settle() {
    for (int i = 0; i < 6; ++i) {
      bool turned = false;
      loop.post([&] { turned = true; });
      loop.run_until([&] { return turned; }, std::chrono::seconds(5));
    }
  }

  net::EventLoop loop;
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
