#include "service/login_pace.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/uuid.h"

enum { ENTRIES = 8192, BUCKETS = 8192, KEY_LEN = 32, PASSWORDS_KEPT = 4, FAILURES_MOST = 64 };

struct entry {
    struct entry *next;  /* in its bucket */
    struct entry *newer; /* in order of use */
    struct entry *older;
    uint64_t key;
    int64_t used_ms;
    int64_t turn_ms; /* of a pair: when the next guess may be looked at */
    uint32_t failures;
    uint32_t guesses;                   /* of a pair: different passwords */
    uint32_t turns;                     /* of a pair: given so far */
    uint64_t passwords[PASSWORDS_KEPT]; /* of a pair: the last that failed, or are tried */
};

struct login_pace {
    char key[KEY_LEN];
    struct entry *buckets[BUCKETS];
    struct entry *newest;
    struct entry *oldest;
    size_t count;
    struct entry entries[ENTRIES];
};

struct login_pace *login_pace_open(void)
{
    struct login_pace *pace = calloc(1, sizeof(*pace));

    if (pace == NULL) {
        abort();
    }
    random_bytes(pace->key, sizeof(pace->key));
    return pace;
}

void login_pace_close(struct login_pace *pace)
{
    if (pace != NULL) {
        explicit_bzero(pace, sizeof(*pace));
        free(pace);
    }
}

/* ---- names ---- */

static uint64_t keyed(const struct login_pace *pace, struct span text)
{
    struct sha256 hash = hmac_sha256(span_of(pace->key, sizeof(pace->key)), text);
    uint64_t key;

    memcpy(&key, hash.bytes, sizeof(key));
    return key | 1; /* never 0 */
}

/* The account's name is secretly keyed, so that nobody can aim at the entry of a pair. */
struct login_attempt login_pace_attempt(const struct login_pace *pace, uint64_t address,
                                        struct span user, struct span password)
{
    struct sha256 both = sha256_of_pair(user, password);
    uint64_t account = keyed(pace, user);
    const struct login_attempt attempt = {.address = address,
                                          .account = account,
                                          .pair = account * 0x9E3779B97F4A7C15U ^ address,
                                          .password =
                                              keyed(pace, span_of(both.bytes, sizeof(both.bytes)))};

    explicit_bzero(&both, sizeof(both));
    return attempt;
}

/* ---- the table ---- */

static struct entry **bucket_of(struct login_pace *pace, uint64_t key)
{
    return &pace->buckets[(key ^ key >> 32) % BUCKETS];
}

static void unlink_use(struct login_pace *pace, struct entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &pace->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &pace->oldest) = entry->newer;
}

static void link_newest(struct login_pace *pace, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = pace->newest;
    *(pace->newest != NULL ? &pace->newest->newer : &pace->oldest) = entry;
    pace->newest = entry;
}

static struct entry *find(struct login_pace *pace, uint64_t key, int64_t now_ms)
{
    struct entry *entry = *bucket_of(pace, key);

    while (entry != NULL && entry->key != key) {
        entry = entry->next;
    }
    return entry != NULL && now_ms - entry->used_ms <= LOGIN_PACE_FORGET_MS ? entry : NULL;
}

static void unlink_bucket(struct login_pace *pace, const struct entry *entry)
{
    struct entry **at = bucket_of(pace, entry->key);

    while (*at != entry) {
        at = &(*at)->next;
    }
    *at = entry->next;
}

static struct entry *make_room(struct login_pace *pace)
{
    struct entry *entry;

    if (pace->count < ENTRIES) {
        return &pace->entries[pace->count++];
    }
    entry = pace->oldest;
    unlink_use(pace, entry);
    unlink_bucket(pace, entry);
    return entry;
}

/* The entry of that key, made if there is none, and used now. */
static struct entry *get(struct login_pace *pace, uint64_t key, int64_t now_ms)
{
    struct entry **bucket = bucket_of(pace, key);
    struct entry *entry = *bucket;

    while (entry != NULL && entry->key != key) {
        entry = entry->next;
    }
    if (entry == NULL) {
        entry = make_room(pace);
        *entry = (struct entry){.key = key, .used_ms = now_ms, .next = *bucket};
        *bucket = entry;
    } else {
        unlink_use(pace, entry);
        if (now_ms - entry->used_ms > LOGIN_PACE_FORGET_MS) {
            *entry = (struct entry){.key = key, .next = entry->next};
        }
    }
    entry->used_ms = now_ms;
    link_newest(pace, entry);
    return entry;
}

bool login_pace_is_quiet(const struct login_pace *pace)
{
    return pace->count == 0;
}

/* ---- what they decide ---- */

static int64_t delay(uint32_t failures, uint32_t free_ones, int64_t most_ms)
{
    int64_t ms = LOGIN_PACE_FIRST_MS;

    if (failures <= free_ones) {
        return 0;
    }
    for (uint32_t i = free_ones + 1; i < failures && ms < most_ms; i++) {
        ms *= 2;
    }
    return ms < most_ms ? ms : most_ms;
}

static bool is_known(const struct entry *pair, uint64_t password)
{
    for (size_t i = 0; i < PASSWORDS_KEPT; i++) {
        if (pair->passwords[i] == password) {
            return true;
        }
    }
    return false;
}

int64_t login_pace_ask(struct login_pace *pace, const struct login_attempt *attempt, int64_t now_ms)
{
    struct entry *pair = find(pace, attempt->pair, now_ms);
    int64_t turn;

    if (pair == NULL || pair->guesses < LOGIN_PACE_PAIR_FREE || is_known(pair, attempt->password)) {
        return 0;
    }
    turn = pair->turn_ms > now_ms ? pair->turn_ms : now_ms;
    if (turn - now_ms > LOGIN_PACE_QUEUE_MS) {
        return -1;
    }
    pair->turns += pair->turns < FAILURES_MOST;
    pair->turn_ms =
        turn + delay(LOGIN_PACE_PAIR_FREE + pair->turns, LOGIN_PACE_PAIR_FREE, LOGIN_PACE_TURN_MS);
    return turn - now_ms;
}

static void forgive(struct entry *entry)
{
    if (entry != NULL) {
        entry->failures = 0;
        entry->guesses = 0;
        entry->turns = 0;
        entry->turn_ms = 0;
    }
}

void login_pace_succeeded(struct login_pace *pace, const struct login_attempt *attempt,
                          int64_t now_ms)
{
    forgive(find(pace, attempt->account, now_ms));
    forgive(find(pace, attempt->pair, now_ms));
}

static uint32_t count_failure(struct entry *entry)
{
    entry->failures += entry->failures < FAILURES_MOST;
    return entry->failures;
}

static void count_guess(struct entry *pair, uint64_t password)
{
    if (!is_known(pair, password)) {
        memmove(pair->passwords + 1, pair->passwords,
                (PASSWORDS_KEPT - 1) * sizeof(pair->passwords[0]));
        pair->passwords[0] = password;
        pair->guesses += pair->guesses < FAILURES_MOST;
    }
}

void login_pace_trying(struct login_pace *pace, const struct login_attempt *attempt, int64_t now_ms)
{
    count_guess(get(pace, attempt->pair, now_ms), attempt->password);
}

int64_t login_pace_failed(struct login_pace *pace, const struct login_attempt *attempt,
                          int64_t now_ms)
{
    const struct {
        uint64_t key;
        uint32_t free_ones;
    } counted[] = {{attempt->address, LOGIN_PACE_ADDRESS_FREE},
                   {attempt->account, LOGIN_PACE_ACCOUNT_FREE},
                   {attempt->pair, LOGIN_PACE_PAIR_FREE}};
    int64_t longest = 0;

    for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
        uint32_t failures = count_failure(get(pace, counted[i].key, now_ms));
        int64_t ms = delay(failures, counted[i].free_ones, LOGIN_PACE_TOLD_MS);

        longest = ms > longest ? ms : longest;
    }
    count_guess(get(pace, attempt->pair, now_ms), attempt->password);
    return longest;
}
