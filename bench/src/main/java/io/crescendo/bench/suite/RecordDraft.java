package io.crescendo.bench.suite;

import io.crescendo.bench.Machine;
import io.crescendo.bench.TrainingStep;
import io.crescendo.cli.figures.Figure;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.openjdk.jmh.util.Version;

/** The README.md of a record as far as a program can write it; what only people know is marked TODO. */
record RecordDraft(
        Machine machine,
        String device,
        Map<String, Object> config,
        List<Measured> measured,
        String tables,
        List<Figure> figures,
        List<String> failures) {

    String text() {
        StringBuilder text = new StringBuilder("# TODO: a title\n\n");
        section(text, "Claim", "TODO: one or two sentences that a reader could dispute.");
        section(text, "Command", "At commit " + config.get("commit") + ":\n\n```\n" + config.get("command") + "\n```");
        section(
                text,
                "Machine",
                machine.processor() + ", " + machine.processors() + " processors ("
                        + String.join(" ", machine.vectors()) + "), " + machine.memoryBytes() / 1_000_000_000
                        + " GB; load at the start " + machine.load()
                        + ". TODO: what else ran there, how it was kept away.");
        section(
                text,
                "Versions",
                machine.system() + "; " + machine.java() + "; " + device + "; JMH " + Version.getPlainVersion() + ".");
        section(
                text,
                "Seeds",
                "Weights from seed " + TrainingStep.WEIGHTS_SEED + ", batches of noise from seed 7"
                        + (has(Part.REDUCTION) ? ", in part reduction 11" : "")
                        + (has(Part.DATA) ? ", in part data 5" : "")
                        + ", the same in every run." + repetitions() + " Every sample is in raw/suite.json.");
        section(text, "Numbers", tables.strip());
        StringBuilder shown = new StringBuilder();
        for (Figure figure : figures) {
            shown.append("![")
                    .append(figure.caption())
                    .append("](figures/")
                    .append(figure.name())
                    .append(".svg)\n");
        }
        section(
                text,
                "Figures",
                shown.isEmpty() ? "None: TODO, why." : shown.toString().strip());
        section(
                text,
                "What failed",
                (failures.isEmpty() ? "" : String.join("\n", failures) + "\n\n")
                        + "TODO: targets that were missed, repetitions left out, what was tried without success.");
        return text.toString().strip() + "\n";
    }

    private boolean has(Part part) {
        return measured.stream().anyMatch(m -> m.part().equals(part.label()));
    }

    /** How many repetitions each number is made of, by the kinds of measurement that there are. */
    private String repetitions() {
        StringBuilder text = new StringBuilder();
        if (measured.stream().anyMatch(m -> m.extras().containsKey(Measured.ITERATION_SECONDS))) {
            text.append(String.format(
                    Locale.ROOT,
                    " Rates and mean times: one fork of %d warm-ups and %d iterations per row, each as long as"
                            + " raw/suite.json says (%s).",
                    JmhRuns.WARM_UPS,
                    JmhRuns.ITERATIONS,
                    Measured.ITERATION_SECONDS));
        }
        if (measured.stream().anyMatch(m -> !m.is(Sweep.NAME) && !m.extras().containsKey(Measured.ITERATION_SECONDS))) {
            text.append(" Single shots: as many processes per row as the benchmark wants, or as fitted into the time;"
                    + " one number per shot.");
        }
        if (measured.stream().anyMatch(m -> m.is(Sweep.NAME))) {
            text.append(String.format(
                    Locale.ROOT,
                    " Sweep: one process, up to %d rounds over all batches, three steps at least in each.",
                    Sweep.ROUNDS));
        }
        return text.toString();
    }

    private static void section(StringBuilder text, String title, String body) {
        text.append("## ").append(title).append("\n\n").append(body).append("\n\n");
    }
}
