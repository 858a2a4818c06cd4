// A connection that carries one request's bytes as they are, without HTTP. Where a CONNECT ends (connect_config) it looks like any client
// session: the request's head goes nowhere and is answered with 200, its body and the response's are what is written and read; the peer's FIN
// ends the response, the request's end sends one. For tcp_proxy it is a connection, whose events go to whoever has it (open_raw). One worker.
#pragma once

#include "dataplane/http/codec.h"

namespace fairlead::upstream {

// Of the session that make_tcp_session() has made: the connection is the caller's until it closes, instead of new_stream().
void open_raw(http::ClientSession& tcp_session, net::ConnectionEvents& events);

net::DeferredPtr<http::ClientSession> make_tcp_session(net::ConnectionPtr connection, http::ClientSessionEvents& events);

}  // namespace fairlead::upstream
