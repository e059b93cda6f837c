/*
 * store: tenants, devices, credentials, their indexes and counters, the purge list and the outbox,
 * in transactions. The one storage interface of the service; it says nothing of the engine behind
 * it. docs/records.md describes what is kept.
 *
 * Invariants kept here, not by callers, each in the transaction of its cause: index entries follow
 * their record; device counts; gateway reference counts; key-space numbers are never reused; a
 * deleted tenant or emptied device set leaves its old key space on the purge list.
 *
 * Threads:   a reader is used by one thread at a time, any number of readers in parallel; the one
 *            write transaction belongs to the writer thread (store/writer.h).
 * Ownership: spans of a found record point into the engine's memory and live until the transaction
 *            is renewed, reset, ended, or (write transaction) until its next write: copy or send
 *            them before. Spans given to a put are borrowed for the call; they may be those of a
 *            record found before.
 * Errors:    KS_NOT_FOUND, KS_EXISTS are answers and leave the transaction usable. Everything else
 *            (KS_FULL, KS_IO, KS_CORRUPT) sticks to the transaction: every later call and the
 *            commit return the same, so straight-line code may look once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include "base/uuid.h"

struct store;
struct store_txn;
struct kv; /* store/kv.h: the ordered byte map below */

/* Bounds that the edge checks before it calls: violations are bugs (assert). */
enum {
    STORE_ID_MAX = 200,    /* tenant and device ids, via and group entries, in bytes */
    STORE_TYPE_MAX = 64,   /* credentials type */
    STORE_NAME_MAX = 2048, /* auth-id, subject DN, alias, id template: any length up to this */
    STORE_CAS_MAX = 64,    /* trusted CAs of a tenant */
    STORE_LIST_MAX = 256,  /* via entries, groups, credentials of a device, secrets */
};

/* Takes the engine over on success (else it stays the caller's) and reads or makes the store's own
 * meta data: format version, instance id. KS_CORRUPT if it was made by others ("not-a-store") or
 * has a newer format ("newer-format"). */
KS_MUST_CHECK enum ks_status store_open(struct store **out, struct kv *kv, struct ks_failure *why);
/* What a copy of a store gets in its META (lmdb_copy): whoever first opens it to write draws a new
 * instance id. What the copy and the original tell from then on is two things, also under one
 * number. */
void store_copy_mark(struct buf *key, struct buf *value);
/* All transactions have ended. Takes NULL. Closes the kv as well. */
void store_close(struct store *store);

/* A number that grows with each commit that touched a tenant; valid for caches that read it
 * *before* they renew their transaction. Any thread. */
uint64_t store_tenant_generation(const struct store *store);

/* ---- transactions ---- */

/* A reader without a snapshot; renew it first. */
KS_MUST_CHECK enum ks_status store_reader_open(struct store *store, struct store_txn **out,
                                               struct ks_failure *why);
/* A fresh snapshot (8 ns): once per request. Spans of the previous one die. */
KS_MUST_CHECK enum ks_status store_reader_renew(struct store_txn *txn, struct ks_failure *why);
/* Lets go of the snapshot, so that pages can be reused while the thread idles. */
void store_reader_reset(struct store_txn *txn);
void store_reader_close(struct store_txn *txn);

KS_MUST_CHECK enum ks_status store_write_begin(struct store *store, struct store_txn **out,
                                               struct ks_failure *why);
/* The transaction is gone whatever this returns. KS_OK: durable. */
KS_MUST_CHECK enum ks_status store_write_commit(struct store_txn *txn, struct ks_failure *why);
void store_write_abort(struct store_txn *txn);
/* Puts and deletes so far: two equal readings mean that nothing was written between them. */
uint64_t store_txn_writes(const struct store_txn *txn);
/* The error that stuck to the transaction, KS_OK if none. */
enum ks_status store_txn_error(const struct store_txn *txn, struct ks_failure *why);

/* ---- an adapter's answer: text with parts that are valid for a time ---- */

/* One element of the array inside an answer: a trusted CA or a secret. */
struct store_segment {
    int64_t from_ms;  /* usable from (inclusive); CLOCK_MIN: always */
    int64_t until_ms; /* usable until (inclusive); CLOCK_MAX: always */
    uint32_t offset;  /* of the element's JSON text in answer.text */
    uint32_t len;
    bool enabled;
};

/* text = head, elements joined by ',', tail. The elements lie one behind the other, the first at
 * segments[0].offset; what comes before is the head, what comes after the last is the tail. With no
 * segments the text goes out as it is. */
struct store_answer {
    struct span text;
    struct span segments; /* encoded; store_segment_at reads it */
};

size_t store_segment_count(const struct store_answer *answer);
struct store_segment store_segment_at(const struct store_answer *answer, size_t index);
/* Encodes segments for a put, in the arena. */
struct span store_segments_encode(struct arena *arena, const struct store_segment *segments,
                                  size_t count);

/* ---- lists of strings (via, groups) ---- */

/* Encodes for a put; store_strings_next walks: start with offset 0, false at the end. */
struct span store_strings_encode(struct arena *arena, const struct span *strings, size_t count);
bool store_strings_next(struct span list, size_t *offset, struct span *out);

/* ---- tenants ---- */

enum store_ca_flags {
    STORE_CA_AUTO_PROVISIONING = 1,
    STORE_CA_AS_GATEWAY = 2,
};

/* What provisioning needs to know of a trusted CA. */
struct store_ca {
    struct span subject_dn; /* RFC 2253 text as Java prints it */
    struct span public_key; /* DER SubjectPublicKeyInfo */
    uint8_t key_hash[32];   /* SHA-256 over subject and public key: the CA's lasting identity */
    int64_t not_before_ms;
    int64_t not_after_ms;
    uint32_t flags;                 /* enum store_ca_flags */
    struct span device_id_template; /* of devices that are provisioned; empty: none */
    struct span auth_id_template;   /* of its certificates' holders; empty: their subject DN */
};

enum store_tenant_flags { STORE_TENANT_ENABLED = 1 };

struct store_tenant {
    uint32_t space; /* key-space number; 0 in a put of a new tenant, which draws one */
    uint32_t flags; /* enum store_tenant_flags */
    struct span id;
    struct span alias;              /* empty: none */
    struct span trust_anchor_group; /* empty: none */
    struct uuid version;            /* the ETag */
    int64_t created_ms;
    int64_t updated_ms;
    int32_t max_devices;                /* -1: not set */
    int32_t max_credentials_per_device; /* -1: not set */
    struct span cas;                    /* encoded; store_cas_next walks it */
    struct span document;               /* JSON as the management API shows it */
    struct store_answer answer;         /* JSON as tenant get answers it; segments are the CAs */
};

struct span store_cas_encode(struct arena *arena, const struct store_ca *cas, size_t count);
bool store_cas_next(struct span cas, size_t *offset, struct store_ca *out);

/* The key-space number of a tenant id. */
KS_MUST_CHECK enum ks_status store_tenant_find(struct store_txn *txn, struct span id,
                                               uint32_t *space, struct ks_failure *why);
KS_MUST_CHECK enum ks_status store_tenant_find_alias(struct store_txn *txn, struct span alias,
                                                     uint32_t *space, struct ks_failure *why);
/* The tenants with a trusted CA of this subject DN, at most `max` of them, each once. *count is 0
 * and KS_OK if there are none. */
KS_MUST_CHECK enum ks_status store_tenant_find_ca(struct store_txn *txn, struct span subject_dn,
                                                  uint32_t *spaces, size_t max, size_t *count,
                                                  struct ks_failure *why);
KS_MUST_CHECK enum ks_status store_tenant_get(struct store_txn *txn, uint32_t space,
                                              struct store_tenant *out, struct ks_failure *why);
/* Inserts; draws *space. KS_EXISTS (nothing written) when the id (reason "id-taken") or the alias
 * (reason "alias-taken") is there. That CAs may share a DN is the caller's rule. */
KS_MUST_CHECK enum ks_status store_tenant_insert(struct store_txn *txn,
                                                 const struct store_tenant *tenant, uint32_t *space,
                                                 struct ks_failure *why);
/* Replaces the record of tenant->space (same id), moving alias and CA index entries. KS_NOT_FOUND;
 * KS_EXISTS if another tenant has the alias. Nothing written on either. */
KS_MUST_CHECK enum ks_status store_tenant_replace(struct store_txn *txn,
                                                  const struct store_tenant *tenant,
                                                  struct ks_failure *why);
/* Removes the tenant and everything of it from sight, in a bounded number of steps; its key space
 * goes to the purge list. */
KS_MUST_CHECK enum ks_status store_tenant_delete(struct store_txn *txn, uint32_t space,
                                                 struct ks_failure *why);
/* Walks the tenants in the order of their ids: `after` empty for the first; the found record's id
 * is the next `after`. KS_NOT_FOUND at the end. */
KS_MUST_CHECK enum ks_status store_tenant_next(struct store_txn *txn, struct span after,
                                               struct store_tenant *out, struct ks_failure *why);
/* The same walk over ids alone: no record is read. */
KS_MUST_CHECK enum ks_status store_tenant_next_id(struct store_txn *txn, struct span after,
                                                  struct span *id, struct ks_failure *why);
/* Tenants, as the engine counts them: no walk. */
KS_MUST_CHECK enum ks_status store_tenant_count(struct store_txn *txn, uint64_t *count,
                                                struct ks_failure *why);

/* ---- devices ---- */

enum store_device_flags {
    STORE_DEVICE_ENABLED = 1,
    STORE_DEVICE_AUTO_PROVISIONED = 2,
    STORE_DEVICE_NOTIFIED = 4,    /* imported as "notification sent" without an event of ours */
    STORE_DEVICE_PROVISIONER = 8, /* a gateway behind which unknown devices are registered */
};

/* Which credential: the order of the list is the order the operator gave. */
struct store_credential_ref {
    struct span type;
    struct span auth_id;
};

struct store_device {
    uint32_t flags; /* enum store_device_flags */
    struct span id;
    struct uuid version;             /* ETag of the device */
    struct uuid credentials_version; /* ETag of its credentials set */
    int64_t created_ms;
    int64_t updated_ms;      /* 0: never */
    uint64_t event_seq;      /* outbox sequence of its provisioning event; 0: none */
    struct span via;         /* strings list */
    struct span via_groups;  /* strings list */
    struct span member_of;   /* strings list */
    struct span credentials; /* encoded; store_credential_refs_next walks it */
    struct span document;    /* JSON as the management API shows it, without `status` */
    struct span answer;      /* JSON as assert answers it */
};

struct span store_credential_refs_encode(struct arena *arena,
                                         const struct store_credential_ref *refs, size_t count);
bool store_credential_refs_next(struct span refs, size_t *offset, struct store_credential_ref *out);

KS_MUST_CHECK enum ks_status store_device_get(struct store_txn *txn, uint32_t space, struct span id,
                                              struct store_device *out, struct ks_failure *why);
/* Inserts and counts it in; KS_EXISTS if the id is there. The list of credentials must be empty or
 * be followed by their store_credential_put calls in this transaction. */
KS_MUST_CHECK enum ks_status store_device_insert(struct store_txn *txn, uint32_t space,
                                                 const struct store_device *device,
                                                 struct ks_failure *why);
/* Replaces the record of device->id; gateway references follow `via`. The caller passes
 * credentials and their version on from the old record unless it changes them. */
KS_MUST_CHECK enum ks_status store_device_replace(struct store_txn *txn, uint32_t space,
                                                  const struct store_device *device,
                                                  struct ks_failure *why);
/* Removes the device with its credentials and its parked event, and counts it out. */
KS_MUST_CHECK enum ks_status store_device_delete(struct store_txn *txn, uint32_t space,
                                                 struct span id, struct ks_failure *why);
/* Gives the tenant a new, empty key space; the old one goes to the purge list. *space: the new. */
KS_MUST_CHECK enum ks_status store_device_delete_all(struct store_txn *txn, uint32_t *space,
                                                     struct ks_failure *why);
KS_MUST_CHECK enum ks_status store_device_next(struct store_txn *txn, uint32_t space,
                                               struct span after, struct store_device *out,
                                               struct ks_failure *why);
/* The same walk over ids alone: no record is read. */
KS_MUST_CHECK enum ks_status store_device_next_id(struct store_txn *txn, uint32_t space,
                                                  struct span after, struct span *id,
                                                  struct ks_failure *why);
/* Devices of the tenant, as counted. */
KS_MUST_CHECK enum ks_status store_device_count(struct store_txn *txn, uint32_t space,
                                                uint64_t *count, struct ks_failure *why);
/* The member of a group behind the device `after` (empty: the first), by id. KS_NOT_FOUND: no more.
 */
KS_MUST_CHECK enum ks_status store_group_next(struct store_txn *txn, uint32_t space,
                                              struct span group, struct span after,
                                              struct span *device, struct ks_failure *why);
KS_MUST_CHECK enum ks_status store_group_has(struct store_txn *txn, uint32_t space,
                                             struct span group, struct span device, bool *out,
                                             struct ks_failure *why);
/* Walks all memberships of a key space, by group and device: what follows (`group`, `device`), the
 * first for two empty ones. A device stands there once for each of its groups; a group may be the
 * empty name. KS_NOT_FOUND: no more. */
KS_MUST_CHECK enum ks_status store_member_next(struct store_txn *txn, uint32_t space,
                                               struct span group, struct span device,
                                               struct span *next_group, struct span *next_device,
                                               struct ks_failure *why);
/* Whether some device names this id in `via`. */
KS_MUST_CHECK enum ks_status store_is_gateway(struct store_txn *txn, uint32_t space, struct span id,
                                              bool *out, struct ks_failure *why);
/* Walks the ids that devices name in `via`, in their order. Not each need be a device. */
KS_MUST_CHECK enum ks_status store_gateway_next(struct store_txn *txn, uint32_t space,
                                                struct span after, struct span *id,
                                                struct ks_failure *why);

/* ---- credentials: one record per (key space, type, auth-id) ---- */

enum store_credential_flags {
    STORE_CREDENTIAL_ENABLED = 1,
    STORE_CREDENTIAL_HAS_EXT = 2, /* the client context must be compared with document's ext */
};

struct store_credential {
    uint32_t flags; /* enum store_credential_flags */
    struct span type;
    struct span auth_id;
    struct span device_id;
    struct span ext;            /* raw JSON object text of `ext`; empty if none */
    struct span document;       /* JSON as stored: with secret ids, hashes and keys */
    struct store_answer answer; /* JSON as credentials get answers it; segments are the secrets */
};

KS_MUST_CHECK enum ks_status store_credential_get(struct store_txn *txn, uint32_t space,
                                                  struct span type, struct span auth_id,
                                                  struct store_credential *out,
                                                  struct ks_failure *why);
/* Inserts or replaces. KS_EXISTS (nothing written) if another device owns (type, auth-id). The
 * caller keeps the device's list in step. */
KS_MUST_CHECK enum ks_status store_credential_put(struct store_txn *txn, uint32_t space,
                                                  const struct store_credential *credential,
                                                  struct ks_failure *why);
KS_MUST_CHECK enum ks_status store_credential_delete(struct store_txn *txn, uint32_t space,
                                                     struct span type, struct span auth_id,
                                                     struct ks_failure *why);

/* ---- purge ---- */

/* Deletes at most `limit` entries of key spaces on the purge list; *removed of them, *done when the
 * list is empty. Idempotent over crashes. */
KS_MUST_CHECK enum ks_status store_purge(struct store_txn *txn, size_t limit, size_t *removed,
                                         bool *done, struct ks_failure *why);

/* ---- outbox: messages that wait for the broker to accept them (store/outbox.c) ----
 *
 * Two queues, events and notifications, with one sequence. An event that the broker will not have
 * is parked: it stays with its device, out of the queue's way. */

enum store_outbox_kind {
    STORE_OUTBOX_EVENT = 1,         /* a device was provisioned */
    STORE_OUTBOX_TENANT_CHANGE = 2, /* a notification about a tenant */
    STORE_OUTBOX_DEVICE_CHANGE =
        3, /* about a device, its credentials, or all devices of a tenant */
};

enum store_queue { STORE_EVENTS, STORE_NOTIFICATIONS, STORE_QUEUES };

enum { STORE_OUTBOX_BODY_MAX = 4096 };

struct store_outbox_entry {
    enum store_outbox_kind kind;
    uint32_t space; /* of the tenant, when it was written */
    int64_t created_ms;
    struct span tenant_id;
    struct span device_id;  /* empty: about the tenant, or all its devices */
    struct span gateway_id; /* of an event: through which the device came; empty: none */
    struct span body;       /* of a notification: its JSON */
};

/* Appends to the queue of its kind; *seq is larger than that of every entry before, also over
 * restarts and deletions. */
KS_MUST_CHECK enum ks_status store_outbox_append(struct store_txn *txn,
                                                 const struct store_outbox_entry *entry,
                                                 uint64_t *seq, struct ks_failure *why);
/* The first entry of a queue whose number is above `after`. KS_NOT_FOUND at the end. */
KS_MUST_CHECK enum ks_status store_outbox_next(struct store_txn *txn, enum store_queue queue,
                                               uint64_t after, uint64_t *seq,
                                               struct store_outbox_entry *out,
                                               struct ks_failure *why);
/* KS_OK also if it was not there. */
KS_MUST_CHECK enum ks_status store_outbox_delete(struct store_txn *txn, enum store_queue queue,
                                                 uint64_t seq, struct ks_failure *why);
/* Takes an event out of the queue and keeps it with its device; *parked is false if that has gone,
 * and the event with it. KS_NOT_FOUND: no such event in the queue. */
KS_MUST_CHECK enum ks_status store_outbox_park(struct store_txn *txn, uint64_t seq, bool *parked,
                                               struct ks_failure *why);
/* Puts at most `limit` parked events back into the queue, where they were; *moved of them. */
KS_MUST_CHECK enum ks_status store_outbox_unpark(struct store_txn *txn, size_t limit, size_t *moved,
                                                 struct ks_failure *why);
/* Parked events of a key space. */
KS_MUST_CHECK enum ks_status store_parked_count(struct store_txn *txn, uint32_t space,
                                                uint64_t *count, struct ks_failure *why);

/* Deletes the oldest notification, and counts that for ever. */
KS_MUST_CHECK enum ks_status store_outbox_drop_oldest(struct store_txn *txn,
                                                      struct ks_failure *why);

struct store_outbox_depth {
    uint64_t waiting[STORE_QUEUES];
    uint64_t parked;  /* those of deleted tenants included until they are swept */
    uint64_t dropped; /* notifications, since the store was made */
};
KS_MUST_CHECK enum ks_status
store_outbox_depth(struct store_txn *txn, struct store_outbox_depth *out, struct ks_failure *why);

enum store_event_state {
    STORE_EVENT_NONE, /* the device has none */
    STORE_EVENT_QUEUED,
    STORE_EVENT_PARKED,
    STORE_EVENT_SENT, /* the broker has accepted it */
};
/* What has become of a device's provisioning event. */
KS_MUST_CHECK enum ks_status store_event_state(struct store_txn *txn, uint32_t space,
                                               const struct store_device *device,
                                               enum store_event_state *out, struct ks_failure *why);

/* ---- inspection ---- */

struct store_stat {
    uint64_t tenants;
    uint64_t devices; /* of these tenants: what waits to be purged is not counted */
    uint64_t credentials;
    struct store_outbox_depth outbox;
    uint64_t purging; /* key spaces on the purge list */
    uint64_t bytes_used;
    uint64_t bytes_map;
    struct uuid instance;
};
KS_MUST_CHECK enum ks_status store_stat(struct store_txn *txn, struct store_stat *out,
                                        struct ks_failure *why);

/* Cross-checks every record, index entry, counter and outbox entry of the snapshot; calls `found`
 * for each inconsistency. KS_CORRUPT if there was any. The transaction stays usable. */
KS_MUST_CHECK enum ks_status store_verify(struct store_txn *txn,
                                          void (*found)(const char *text, void *arg), void *arg,
                                          struct ks_failure *why);
