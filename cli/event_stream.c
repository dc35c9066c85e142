/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/event_stream.h"

static int subscribe(struct event_stream *s, struct error *reterr) {
        int r = daemon_connect(s->o, &s->client, reterr);

        return r < 0 ? r
                     : client_send(&s->client, "io.qtenclave.Manager.Events", NULL, CALL_MORE, NULL, 0,
                                   reterr);
}

int event_stream_open(struct event_stream *s, const struct options *o, struct error *reterr) {
        *s = EVENT_STREAM_NULL;
        s->o = o;
        return subscribe(s, reterr);
}

void event_stream_done(struct event_stream *s) {
        client_done(&s->client);
        s->client = CLIENT_NULL;
}

int event_stream_next(struct event_stream *s, struct reply *ret, struct error *reterr) {
        _cleanup_error_ struct error e = ERROR_NULL;
        int r = client_receive(&s->client, -1, ret, &e);

        if (r >= 0) {
                s->tries = 0;
                return 1;
        }
        while (daemon_may_return(&s->tries, &e)) {
                event_stream_done(s);
                error_done(&e);
                r = subscribe(s, &e);
                if (r >= 0)
                        return 0;
        }
        return error_move(reterr, r, &e);
}
