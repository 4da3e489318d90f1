"""Counting in sliding windows, twice: in Python for one process, in Lua for all processes of a Redis.

A window of length W is kept as buckets of W/60. A bucket counts until W and two buckets after its start have passed:
one because its youngest request came at its end, one more because a reserved request may be sent up to one bucket
after it was charged. So no window of length W, wherever it starts, ever holds more than the limit; the price is at
most 2/60 of the rate. Both versions give the same answers (tests/live/test_windows.py).
"""

from __future__ import annotations

from typing import Final

BUCKETS: Final = 60
SPARE: Final = 2


def bucket_ms(length_ms: int) -> int:
    return max(1, length_ms // BUCKETS)


class SlidingWindow:
    """One window, times in ms of any clock."""

    def __init__(self, length_ms: int) -> None:
        self._length_ms = length_ms
        self._bucket_ms = bucket_ms(length_ms)
        self._buckets: dict[int, int] = {}

    def used(self, now_ms: int) -> int:
        """What counts now."""
        for bucket in [b for b in self._buckets if self._end(b) <= now_ms]:
            del self._buckets[bucket]
        return sum(self._buckets.values())

    def wait_ms(self, now_ms: int, weight: int, ceiling: int) -> int:
        """0 when `weight` fits under `ceiling` now, else how long until it does (the whole window if it never does)."""
        used = self.used(now_ms)
        if used + weight <= ceiling:
            return 0
        for bucket in sorted(self._buckets):
            used -= self._buckets[bucket]
            if used + weight <= ceiling:
                return self._end(bucket) - now_ms
        return self._length_ms

    def charge(self, now_ms: int, weight: int) -> None:
        """Count `weight` now; a negative one takes back what was charged at the very same `now_ms`."""
        bucket = now_ms // self._bucket_ms
        self._buckets[bucket] = max(0, self._buckets.get(bucket, 0) + weight)

    def _end(self, bucket: int) -> int:
        return (bucket + SPARE) * self._bucket_ms + self._length_ms


# KEYS: epoch, the pauses, then one hash a window.
# ARGV: now (ms; -1: the server's clock), what to do, number of pauses, an epoch to use if there is none,
#       then for each window: ceiling, length, bucket, weight.
#   take: charge all windows if all have room and no pause is on; charge: charge regardless;
#   raise: count at least `weight`; back: take `weight` back from the bucket of `now`.
# Returns done (0/1), wait (ms), paused until (ms, 0: not), now (ms), epoch, then used for each window.
SCRIPT: Final = """
local now = tonumber(ARGV[1])
if now < 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local verb, pauses = ARGV[2], tonumber(ARGV[3])
local epoch = redis.call('GET', KEYS[1])
if not epoch then
  epoch = ARGV[4]
  redis.call('SET', KEYS[1], epoch)
end
local paused = 0
for i = 2, 1 + pauses do
  paused = math.max(paused, tonumber(redis.call('GET', KEYS[i]) or 0))
end
if paused <= now then paused = 0 end
local wait, windows = 0, {}
for i = 2 + pauses, #KEYS do
  local a = 4 + (i - 2 - pauses) * 4
  local w = {key = KEYS[i], ceiling = tonumber(ARGV[a + 1]), length = tonumber(ARGV[a + 2]),
             bucket = tonumber(ARGV[a + 3]), weight = tonumber(ARGV[a + 4]), used = 0}
  local flat, live = redis.call('HGETALL', w.key), {}
  for j = 1, #flat, 2 do
    local start, count = tonumber(flat[j]), tonumber(flat[j + 1])
    local ends = (start + SPARE) * w.bucket + w.length
    if ends > now then
      w.used = w.used + count
      live[#live + 1] = {ends, count}
    else
      redis.call('HDEL', w.key, flat[j])
    end
  end
  if verb == 'take' and w.used + w.weight > w.ceiling then
    table.sort(live, function(x, y) return x[1] < y[1] end)
    local left, ready = w.used, now + w.length
    for _, b in ipairs(live) do
      left = left - b[2]
      if left + w.weight <= w.ceiling then ready = b[1] break end
    end
    wait = math.max(wait, ready - now)
  end
  windows[#windows + 1] = w
end
local done = 1
if verb == 'take' and (wait > 0 or paused > 0) then done = 0 end
local reply = {done, wait, paused, now, epoch}
for _, w in ipairs(windows) do
  if done == 1 then
    local field, add = string.format('%d', math.floor(now / w.bucket)), w.weight
    if verb == 'raise' then add = math.max(0, w.weight - w.used) end
    if verb == 'back' then add = -math.min(w.weight, tonumber(redis.call('HGET', w.key, field) or 0)) end
    if add ~= 0 then
      redis.call('HINCRBY', w.key, field, string.format('%d', add))
      redis.call('PEXPIRE', w.key, string.format('%d', w.length * 2 + 60000))
      w.used = w.used + add
    end
  end
  reply[#reply + 1] = w.used
end
return reply
""".replace("SPARE", str(SPARE))

# KEYS: one pause. ARGV: now (ms; -1: the server's clock), length (ms). A pause is only ever made longer. Returns what
# is left of it (ms).
PAUSE_SCRIPT: Final = """
local now = tonumber(ARGV[1])
if now < 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local until_ms = tonumber(redis.call('GET', KEYS[1]) or 0)
if now + ARGV[2] > until_ms then
  until_ms = now + ARGV[2]
  redis.call('SET', KEYS[1], string.format('%d', until_ms), 'PX', ARGV[2] + 1000)
end
return until_ms - now
"""
