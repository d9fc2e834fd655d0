package io.crescendo.bench.records;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.DateTimeException;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What is missing in a folder that claims to be a record. */
final class RecordFolder {
    static final List<String> SECTIONS =
            List.of("Claim", "Command", "Machine", "Versions", "Seeds", "Numbers", "Figures", "What failed");

    private static final Pattern NAME = Pattern.compile("(\\d{4}-\\d{2}-\\d{2})_[a-z0-9]+(-[a-z0-9]+)*");
    private static final Pattern TABLE = Pattern.compile("(?m)^\\|.*\\|\\s*\\n\\|[-:| ]+\\|\\s*\\n\\|.*\\d.*\\|");
    private static final Pattern PLACEHOLDER = Pattern.compile("\\bTODO\\b|\\bFIXME\\b|\\bTBD\\b");
    private static final long FILE_BYTES = 2_000_000;
    private static final long FOLDER_BYTES = 10_000_000;

    private final Path folder;
    private final List<String> faults = new ArrayList<>();

    private RecordFolder(Path folder) {
        this.folder = folder;
    }

    /** One sentence per fault; none for a complete record. */
    static List<String> faults(Path folder) throws IOException {
        RecordFolder record = new RecordFolder(folder);
        record.name();
        record.sizes();
        record.readme();
        record.config();
        if (files(folder.resolve("raw")).isEmpty()) {
            record.fault("raw/ holds no file: keep the numbers as the tool wrote them");
        }
        return List.copyOf(record.faults);
    }

    private void fault(String text) {
        faults.add(folder.getFileName() + ": " + text);
    }

    private void name() {
        String name = folder.getFileName().toString();
        var matcher = NAME.matcher(name);
        if (!matcher.matches()) {
            fault("the folder's name must be YYYY-MM-DD_name, lower case, words joined by -");
            return;
        }
        try {
            LocalDate.parse(matcher.group(1));
        } catch (DateTimeException e) {
            fault(matcher.group(1) + " is no date");
        }
    }

    private void sizes() throws IOException {
        long all = 0;
        for (Path file : files(folder)) {
            long bytes = Files.size(file);
            all += bytes;
            if (bytes == 0) {
                fault(folder.relativize(file) + " is empty");
            }
            if (bytes > FILE_BYTES) {
                fault(folder.relativize(file) + " has " + bytes + " bytes, more than " + FILE_BYTES);
            }
        }
        if (all > FOLDER_BYTES) {
            fault("the folder has " + all + " bytes, more than " + FOLDER_BYTES);
        }
    }

    private void config() {
        if (Stream.of("config.yaml", "config.json").noneMatch(name -> Files.isRegularFile(folder.resolve(name)))) {
            fault("neither config.yaml nor config.json: say what was run, defaults included");
        }
    }

    private void readme() throws IOException {
        Path file = folder.resolve("README.md");
        if (!Files.isRegularFile(file)) {
            fault("README.md is missing");
            return;
        }
        String text = Files.readString(file);
        if (!text.startsWith("# ")) {
            fault("README.md must begin with a title, '# …'");
        }
        if (PLACEHOLDER.matcher(text).find()) {
            fault("README.md still has a placeholder");
        }
        List<String> present = Markdown.sections(text).stream()
                .map(Markdown.Section::title)
                .filter(SECTIONS::contains)
                .toList();
        if (!present.equals(SECTIONS)) {
            fault("README.md must have the sections " + SECTIONS + " in this order, but has " + present);
        }
        for (Markdown.Section section : Markdown.sections(text)) {
            if (section.body().isBlank()) {
                fault("section '" + section.title() + "' is empty");
            }
        }
        Markdown.section(text, "Command")
                .filter(s -> !s.body().contains("```"))
                .ifPresent(s -> fault("section 'Command' has no code block"));
        Markdown.section(text, "Numbers")
                .filter(s -> !TABLE.matcher(s.body()).find())
                .ifPresent(s -> fault("section 'Numbers' has no table with a number in it"));
        Markdown.section(text, "Figures").ifPresent(this::figures);
        for (String link : Markdown.localLinks(text)) {
            if (!Files.exists(folder.resolve(link))) {
                fault("README.md links to " + link + ", which does not exist");
            }
        }
    }

    private void figures(Markdown.Section section) {
        Set<String> linked = Markdown.localLinks(section.body()).stream()
                .filter(link -> link.startsWith("figures/"))
                .collect(Collectors.toSet());
        List<Path> drawn = files(folder.resolve("figures"));
        if (linked.isEmpty() && !section.body().strip().startsWith("None: ")) {
            fault("section 'Figures' links to no file in figures/; show one, or write 'None: ' and why");
        }
        for (Path figure : drawn) {
            String name = figure.getFileName().toString().toLowerCase(Locale.ROOT);
            // A PNG beside the SVG of the same name is the same figure.
            boolean shown =
                    linked.stream().anyMatch(link -> stem(link).equals(stem("figures/" + figure.getFileName())));
            if (!shown) {
                fault("figures/" + name + " is not shown in section 'Figures'");
            }
        }
    }

    private static String stem(String file) {
        return file.replaceFirst("\\.\\w+$", "");
    }

    /** Every file below a folder, in a fixed order; none if the folder does not exist. */
    static List<Path> files(Path folder) {
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (Stream<Path> all = Files.walk(folder)) {
            return all.filter(Files::isRegularFile).sorted().toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The folders of a directory of records, oldest first. */
    static List<Path> all(Path records) throws IOException {
        try (Stream<Path> children = Files.list(records)) {
            return children.filter(Files::isDirectory).sorted().toList();
        }
    }

    /** The record's README, if there is one. */
    static Optional<String> text(Path folder) throws IOException {
        Path readme = folder.resolve("README.md");
        return Files.isRegularFile(readme) ? Optional.of(Files.readString(readme)) : Optional.empty();
    }
}
