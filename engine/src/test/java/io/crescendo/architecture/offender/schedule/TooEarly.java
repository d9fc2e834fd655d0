package io.crescendo.architecture.offender.schedule;

import io.crescendo.architecture.offender.train.Late;
import java.util.ArrayList;
import java.util.concurrent.atomic.AtomicLong;
import java.util.logging.Logger;
import org.jspecify.annotations.NullMarked;

/** Breaks every rule, and lies in a package that nobody explains. */
@NullMarked
final class TooEarly {
    static int counter;
    static final int[] SHARED_ARRAY = {1, 2};
    static final ArrayList<String> SEEN = new ArrayList<>();
    static final AtomicLong LAST = new AtomicLong();

    private TooEarly() {}

    static void run() {
        counter++;
        System.out.println(Late.NAME);
        Logger.getLogger("offender").info("logged");
    }
}
