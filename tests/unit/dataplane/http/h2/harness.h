// Drives HTTP/2 sessions over simulated connections: against raw frames, or a client session against a server session. Shared by the h2
// tests and fuzzers.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/http/h2/session.h"
#include "dataplane/net/simulated.h"
#include "tests/unit/dataplane/http/messages.h"

namespace fairlead::h2::test {

using namespace http::test;

// --- raw frames ---

enum : uint8_t { kData = 0, kHeaders = 1, kPriority = 2, kRst = 3, kSettings = 4, kPush = 5, kPing = 6, kGoaway = 7, kWindowUpdate = 8, kContinuation = 9 };
enum : uint8_t { kEndStream = 1, kAck = 1, kEndHeaders = 4, kPadded = 8 };

inline std::string be(uint64_t value, int bytes) {
  std::string s;
  for (int i = bytes - 1; i >= 0; --i) s += static_cast<char>(value >> (8 * i));
  return s;
}
inline std::string frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload = "") {
  return be(payload.size(), 3) + static_cast<char>(type) + static_cast<char>(flags) + be(stream, 4) + payload;
}
inline std::string hpack_text(const std::string& text) {  // length with a 7-bit prefix, no Huffman
  if (text.size() < 127) return static_cast<char>(text.size()) + text;
  std::string s(1, '\x7f');
  size_t n = text.size() - 127;
  for (; n >= 128; n >>= 7) s += static_cast<char>(128 + (n & 127));
  s += static_cast<char>(n);
  return s + text;
}
inline std::string block(const Headers& headers) {  // literals without indexing
  std::string s;
  for (auto& [name, value] : headers) s += '\0' + hpack_text(name) + hpack_text(value);
  return s;
}
inline std::string headers(uint32_t stream, const Headers& list, bool end = true) {
  return frame(kHeaders, static_cast<uint8_t>(kEndHeaders | (end ? kEndStream : 0)), stream, block(list));
}
inline const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline const Headers kGet = {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};
inline const Headers kPost = {{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};

struct Frame {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  std::string payload;
  std::string head;  // HEADERS, decoded
  uint32_t word(size_t at) const {
    uint32_t v = 0;
    for (size_t i = 0; i < 4; ++i) v = v << 8 | static_cast<uint8_t>(payload.at(at + i));
    return v;
  }
};

// A far end that speaks raw frames: collects what comes and splits it.
struct RawPeer : net::ConnectionEvents {
  explicit RawPeer(bool of_client) : preface(of_client) { nghttp2_hd_inflate_new(&inflater); }
  ~RawPeer() override { nghttp2_hd_inflate_del(inflater); }
  void on_data(net::Buffer& data, bool) override {
    raw += data.to_string();
    bytes += data.size();
    data.clear();
    if (preface && raw.size() >= kPreface.size()) {
      preface_right = raw.compare(0, kPreface.size(), kPreface) == 0;
      raw.erase(0, kPreface.size());
      preface = false;
    }
    while (!preface && raw.size() >= 9) {
      const size_t size = static_cast<size_t>(static_cast<uint8_t>(raw[0])) << 16 | static_cast<size_t>(static_cast<uint8_t>(raw[1])) << 8 | static_cast<uint8_t>(raw[2]);
      if (raw.size() < 9 + size) return;
      Frame f;
      f.type = static_cast<uint8_t>(raw[3]);
      f.flags = static_cast<uint8_t>(raw[4]);
      for (int i = 5; i < 9; ++i) f.stream = f.stream << 8 | static_cast<uint8_t>(raw[static_cast<size_t>(i)]);
      f.payload = raw.substr(9, size);
      raw.erase(0, 9 + size);
      if (f.type == kHeaders) f.head = decode(f.payload);
      frames.push_back(std::move(f));
    }
  }
  void on_closed(net::CloseReason) override { closed = true; }
  std::string decode(std::string& in) {
    std::string text;
    auto* at = reinterpret_cast<uint8_t*>(in.data());
    size_t left = in.size();
    for (;;) {
      nghttp2_nv nv;
      int flags = 0;
      ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, left, 1);
      if (n < 0) return "broken";
      at += n;
      left -= static_cast<size_t>(n);
      if (flags & NGHTTP2_HD_INFLATE_EMIT) text += std::string(reinterpret_cast<char*>(nv.name), nv.namelen) + ": " + std::string(reinterpret_cast<char*>(nv.value), nv.valuelen) + "\n";
      if (flags & NGHTTP2_HD_INFLATE_FINAL) break;
      if (left == 0 && (flags & NGHTTP2_HD_INFLATE_EMIT) == 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater);
    return text;
  }
  const Frame* find(uint8_t type, uint32_t stream = UINT32_MAX, size_t skip = 0) const {
    for (const Frame& f : frames) {
      if (f.type == type && (stream == UINT32_MAX || f.stream == stream) && !(type == kSettings && (f.flags & kAck) != 0) && skip-- == 0) return &f;
    }
    return nullptr;
  }
  size_t count(uint8_t type, uint32_t stream = UINT32_MAX) const {
    size_t n = 0;
    while (find(type, stream, n) != nullptr) ++n;
    return n;
  }
  std::string body(uint32_t stream) const {
    std::string all;
    for (const Frame& f : frames) {
      if (f.type == kData && f.stream == stream) all += f.payload;
    }
    return all;
  }
  bool ended(uint32_t stream) const {
    for (const Frame& f : frames) {
      if ((f.type == kData || f.type == kHeaders) && f.stream == stream && (f.flags & kEndStream) != 0) return true;
    }
    return false;
  }
  nghttp2_hd_inflater* inflater = nullptr;
  bool preface;
  bool preface_right = false;
  bool closed = false;
  size_t bytes = 0;
  std::string raw;
  std::vector<Frame> frames;
};

struct Counts : StatSink {
  std::array<int64_t, kStatCount> values{};
  void add(Stat stat, int64_t delta) override { values[static_cast<size_t>(stat)] += delta; }
  int64_t operator[](Stat stat) const { return values[static_cast<size_t>(stat)]; }
};

// A server's owner: requests are collected; refusals answered with their status.
struct ServerEvents : http::ServerSessionEvents {
  http::MessageReceiver* on_stream(http::MessageSender& sender) override {
    requests.push_back(std::make_unique<Message>());
    Message& m = *requests.back();
    m.sender = &sender;
    m.when_head = when_head;
    m.when_ended = when_ended;
    return &m;
  }
  void on_protocol_error(http::MessageSender& sender, http::MessageReceiver& receiver, const http::ProtocolError& e) override {
    auto& m = static_cast<Message&>(receiver);
    m.error = std::to_string(e.status) + " " + std::string(e.details);
    if (answer_errors) send(sender, {{":status", std::to_string(e.status)}}, "refused");
  }
  void on_request_begins() override { ++begins; }
  void on_idle() override { ++idles; }
  void on_session_closed(net::CloseReason) override { closed = true; }
  std::vector<std::unique_ptr<Message>> requests;
  std::function<void(Message&)> when_head, when_ended;
  bool answer_errors = true;
  bool closed = false;
  int begins = 0;
  int idles = 0;
};

struct ClientEvents : http::ClientSessionEvents {
  void on_session_connected() override { connected = true; }
  void on_stream_slot() override {
    ++slots;
    if (when_slot) when_slot();
  }
  void on_going_away() override { going_away = true; }
  void on_session_closed(net::CloseReason r) override {
    closed = true;
    reason = r;
  }
  std::function<void()> when_slot;
  bool connected = false;
  bool going_away = false;
  bool closed = false;
  int slots = 0;
  net::CloseReason reason{};
};

inline Settings counted(Settings settings, Counts& counts) {
  settings.stats = std::shared_ptr<StatSink>(std::shared_ptr<void>(), &counts);  // the test's own
  return settings;
}

struct ServerRig : Loop, ServerEvents {
  explicit ServerRig(const Settings& settings = {}, const net::Connection::Options& options = {}) : pair(loop, options), peer(false) {
    far = pair.take_b();
    far->set_events(&peer);
    session = make_server_session(pair.take_a(), counted(settings, counts), *this);
  }
  ~ServerRig() override { session.reset(); }
  void write(const std::string& bytes) { far->write(bytes); }
  void hello() { write(kPreface + frame(kSettings, 0, 0) + frame(kSettings, kAck, 0)); }
  // GOAWAY's error code, or -1.
  int goaway() const {
    const Frame* f = peer.find(kGoaway);
    return f == nullptr ? -1 : static_cast<int>(f->word(4));
  }
  int rst(uint32_t stream) const {
    const Frame* f = peer.find(kRst, stream);
    return f == nullptr ? -1 : static_cast<int>(f->word(0));
  }
  Counts counts;
  net::SimulatedPair pair;
  RawPeer peer;
  net::ConnectionPtr far;
  net::DeferredPtr<http::ServerSession> session;
};

struct ClientRig : Loop, ClientEvents {
  explicit ClientRig(const Settings& settings = {}, const net::Connection::Options& options = {}) : pair(loop, options), peer(true) {
    far = pair.take_b();
    far->set_events(&peer);
    session = make_client_session(pair.take_a(), counted(settings, counts), *this);
  }
  ~ClientRig() override { session.reset(); }
  Message& start(const Headers& list, const std::string& body = "", bool end = true) {
    responses.push_back(std::make_unique<Message>());
    Message& m = *responses.back();
    m.sender = &session->new_stream(m);
    send(*m.sender, list, body, end);
    return m;
  }
  void write(const std::string& bytes) { far->write(bytes); }
  void hello(const std::string& settings = "") { write(frame(kSettings, 0, 0, settings) + frame(kSettings, kAck, 0)); }
  int goaway() const {
    const Frame* f = peer.find(kGoaway);
    return f == nullptr ? -1 : static_cast<int>(f->word(4));
  }
  int rst(uint32_t stream) const {
    const Frame* f = peer.find(kRst, stream);
    return f == nullptr ? -1 : static_cast<int>(f->word(0));
  }
  Counts counts;
  net::SimulatedPair pair;
  RawPeer peer;
  net::ConnectionPtr far;
  net::DeferredPtr<http::ClientSession> session;
  std::vector<std::unique_ptr<Message>> responses;
};

// A client session talking to a server session.
struct PairRig : Loop {
  explicit PairRig(const Settings& settings = {}, const net::Connection::Options& options = {}) : PairRig(settings, settings, options) {}
  PairRig(const Settings& server_settings, const Settings& client_settings, const net::Connection::Options& options) : pair(loop, options) {
    server = make_server_session(pair.take_a(), counted(server_settings, server_counts), server_events);
    client = make_client_session(pair.take_b(), counted(client_settings, client_counts), client_events);
  }
  ~PairRig() {
    server.reset();
    client.reset();
  }
  Message& start(const Headers& list, const std::string& body = "", bool end = true) {
    responses.push_back(std::make_unique<Message>());
    Message& m = *responses.back();
    m.sender = &client->new_stream(m);
    send(*m.sender, list, body, end);
    return m;
  }
  Message& request(size_t i) { return *server_events.requests.at(i); }
  Counts server_counts, client_counts;
  net::SimulatedPair pair;
  ServerEvents server_events;
  ClientEvents client_events;
  net::DeferredPtr<http::ServerSession> server;
  net::DeferredPtr<http::ClientSession> client;
  std::vector<std::unique_ptr<Message>> responses;
};

}  // namespace fairlead::h2::test
