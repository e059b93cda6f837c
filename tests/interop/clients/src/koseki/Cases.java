package koseki;

import java.util.Objects;

/** Counts cases; each prints one line. */
final class Cases {
    interface Case {
        void run() throws Exception;
    }

    private int passed;
    private int failed;

    void check(final String name, final Case body) {
        try {
            body.run();
            passed++;
            System.out.println("ok " + name);
        } catch (final Throwable error) {
            failed++;
            System.out.println("FAILED " + name + ": " + error);
        }
    }

    static void same(final Object expected, final Object actual) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError("expected " + expected + ", got " + actual);
        }
    }

    void close() {
        System.out.println(passed + " passed, " + failed + " failed");
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 && passed > 0 ? 0 : 1);
    }
}
