"""Messages of well-known fleets in the forms that their own documentation gives, and what presets read.

The structures are those of the documents named beside each; names, numbers and times are the test's own.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

NOW_US = 1_795_348_800_000_000
"""2026-11-22T12:00:00Z."""
PASSED_OVER = "passed over"
NOTHING = "nothing"
DEAD = "dead letter"

Series = tuple[str, str, Any, str]


class Document(NamedTuple):
    """A message, and what it becomes: readings as (device, sensor, value, unit), or a word."""

    topic: str
    payload: Any
    """Text as it is, anything else as JSON."""
    becomes: list[Series] | str
    ts_us: int | None = NOW_US
    """The time of its readings."""

    @property
    def raw(self) -> bytes:
        return self.payload.encode() if isinstance(self.payload, str) else json.dumps(self.payload).encode()


DOCUMENTS: dict[str, list[Document]] = {
    # zigbee2mqtt.io, "MQTT Topics and Messages" and "Device-Availability"
    "zigbee2mqtt": [
        Document("zigbee2mqtt/bath", {"temperature": 27.34, "humidity": 44.72}, [
            ("bath", "temperature", 27.34, "°C"), ("bath", "humidity", 44.72, "%")]),
        Document("zigbee2mqtt/switch", {"action": "single"}, [("switch", "action", "single", "")]),
        Document("zigbee2mqtt/hall", {"occupancy": True}, [("hall", "occupancy", True, "")]),
        Document("zigbee2mqtt/kitchen/floor_light", {"state": "ON", "brightness": 215, "color_temp": 325}, [
            ("kitchen/floor_light", "state", True, ""), ("kitchen/floor_light", "brightness", 215, ""),
            ("kitchen/floor_light", "color_temp", 325, "mired")]),
        Document("zigbee2mqtt/plug", {
            "power": 12.5, "energy": 3.1, "voltage": 229, "current": 0.05, "state": "OFF", "action": None,
            "update": {"state": "idle", "installed_version": 5}, "linkquality": 120,
            "last_seen": "2026-11-22T12:59:30+01:00",
        }, [("plug", "power", 12.5, "W"), ("plug", "energy", 3.1, "kWh"), ("plug", "voltage", 229, "V"),
            ("plug", "current", 0.05, "A"), ("plug", "state", False, ""), ("plug", "linkquality", 120, "")],
            NOW_US - 30_000_000),
        Document("zigbee2mqtt/door", {"battery": 97, "voltage": 2995, "contact": False}, [
            ("door", "battery", 97, "%"), ("door", "voltage", 2995, "mV"), ("door", "contact", False, "")]),
        Document("zigbee2mqtt/bath/availability", {"state": "online"}, PASSED_OVER),
        Document("zigbee2mqtt/kitchen/floor_light/set", {"state": "OFF"}, PASSED_OVER),
        Document("zigbee2mqtt/bridge/state", {"state": "online"}, PASSED_OVER),
        Document("zigbee2mqtt/bridge/logging", {"level": "info", "message": "x"}, PASSED_OVER),
        Document("zigbee2mqtt/button", {"action": None}, NOTHING),
        # "output: attribute", in "Configuration/MQTT"
        Document("zigbee2mqtt/bath/temperature", "21.5", [("bath", "temperature", 21.5, "°C")]),
        Document("zigbee2mqtt/kitchen/plug/state", "ON", [("kitchen/plug", "state", True, "")]),
        Document("zigbee2mqtt/bath/voltage", "2995", [("bath", "voltage", 2995, "")]),
        Document("zigbee2mqtt/bath/last_seen", "2026-11-22T12:59:30+01:00", PASSED_OVER),
        Document("zigbee2mqtt/bath/availability", "online", PASSED_OVER),
        Document("zigbee2mqtt/meter", {"battery": None, "voltage": 230.1, "ac_frequency": 50,
                                       "produced_energy": 2.1, "power": -50.5}, [
            ("meter", "voltage", 230.1, "V"), ("meter", "ac_frequency", 50, "Hz"),
            ("meter", "produced_energy", 2.1, "kWh"), ("meter", "power", -50.5, "W")]),
    ],
    # tasmota.github.io/docs: "AM2301", "DS18x20", "MQTT", "JSON Status Responses"
    "tasmota": [
        Document("tele/weather/SENSOR", {
            "Time": "2026-11-22T13:00:00", "AM2301": {"Temperature": 24.6, "Humidity": 58.2}, "TempUnit": "C",
        }, [("weather", "AM2301/Temperature", 24.6, "°C"), ("weather", "AM2301/Humidity", 58.2, "%")]),
        Document("tele/tank/SENSOR", {
            "Time": "2026-11-22T13:00:00", "DS18x20": {
                "DS1": {"Type": "DS18B20", "Address": "28FF4CBFA41604C4", "Temperature": 76.1},
                "DS2": {"Type": "DS18B20", "Address": "28FF1E7AA4160323", "Temperature": 70.2}},
            "TempUnit": "F",
        }, [("tank", "DS18x20/DS1/Temperature", 76.1, "°F"),
            ("tank", "DS18x20/DS2/Temperature", 70.2, "°F")]),
        Document("tele/washer/SENSOR", {"Time": "2026-11-22T13:00:00", "ENERGY": {
            "TotalStartTime": "2026-01-01T00:00:00", "Total": 3.185, "Yesterday": 3.058, "Today": 0.127,
            "Period": 0, "Power": 15, "ApparentPower": 30, "ReactivePower": 25, "Factor": 0.51,
            "Voltage": 231, "Current": 0.128}},
            [("washer", f"ENERGY/{name}", value, unit) for name, value, unit in (
                ("Total", 3.185, "kWh"), ("Yesterday", 3.058, "kWh"), ("Today", 0.127, "kWh"),
                ("Period", 0, "Wh"), ("Power", 15, "W"), ("ApparentPower", 30, "VA"),
                ("ReactivePower", 25, "var"), ("Factor", 0.51, ""), ("Voltage", 231, "V"),
                ("Current", 0.128, "A"))]),
        Document("tele/door/SENSOR", {"Time": "2026-11-22T13:00:00", "Switch1": "ON"}, [
            ("door", "Switch1", True, "")]),
        Document("stat/washer/POWER", "OFF", [("washer", "POWER", False, "")]),
        Document("stat/strip/POWER2", "ON", [("strip", "POWER2", True, "")]),
        Document("stat/strip/RESULT", {"POWER2": "ON"}, PASSED_OVER),
        Document("tele/washer/STATE", {
            "Time": "2026-11-22T13:00:00", "Uptime": "0T10:00:00", "UptimeSec": 36000, "Heap": 27,
            "POWER": "OFF", "Wifi": {"AP": 1, "RSSI": 84}}, PASSED_OVER),
        Document("tele/washer/LWT", "Online", PASSED_OVER),
        Document("tele/phases/SENSOR", {"Time": "2026-11-22T13:00:00", "ENERGY": {
            "Total": [10.1, 5.2], "Power": [100, 50], "Frequency": 50}}, [
            ("phases", "ENERGY/Total/0", 10.1, "kWh"), ("phases", "ENERGY/Total/1", 5.2, "kWh"),
            ("phases", "ENERGY/Power/0", 100, "W"), ("phases", "ENERGY/Power/1", 50, "W"),
            ("phases", "ENERGY/Frequency", 50, "Hz")]),
        Document("tele/mast/SENSOR", {"Time": "2026-11-22T13:00:00", "TX23": {
            "Speed": {"Act": 14.8, "Avg": 8.5}, "Dir": {"Card": "WSW", "Deg": 247.5}}, "SpeedUnit": "km/h"}, [
            ("mast", "TX23/Speed/Act", 14.8, "km/h"), ("mast", "TX23/Speed/Avg", 8.5, "km/h"),
            ("mast", "TX23/Dir/Card", "WSW", ""), ("mast", "TX23/Dir/Deg", 247.5, "°")]),
        Document("stat/tank/STATUS10", {"StatusSNS": {"Time": "2026-11-22T13:00:00", "DS18B20": {
            "Id": "01", "Temperature": 70.2}, "TempUnit": "F"}}, [
            ("tank", "DS18B20/Temperature", 70.2, "°F")]),
        Document("stat/tank/STATUS8", {"StatusSNS": {"Time": "2026-11-22T13:00:00"}}, PASSED_OVER),
        Document("tele/broken/SENSOR", {"Time": "x", "DS18B20": {"Id": "1", "Temperature": None}}, NOTHING),
        Document("tele/empty/SENSOR", {"Time": "2026-11-22T13:00:00"}, NOTHING),
    ],
    # shelly-api-docs.shelly.cloud/gen2: "Notifications", "Mqtt", "Switch", "Temperature", "EM"
    "shelly-gen2": [
        Document("shellypro4pm-f008d1d8b8b8/events/rpc", {
            "src": "shellypro4pm-f008d1d8b8b8", "dst": "user_1", "method": "NotifyStatus",
            "params": {"ts": 1_795_348_799.5, "switch:0": {"id": 0, "output": True, "source": "button"}},
        }, [("shellypro4pm-f008d1d8b8b8", "switch:0/output", True, "")], NOW_US - 500_000),
        Document("shellyplus1pm-a8032ab/events/rpc", {
            "src": "shellyplus1pm-a8032ab", "dst": "x/events", "method": "NotifyStatus", "params": {
                "ts": 1_795_348_740.0, "switch:0": {
                    "id": 0, "apower": 8.9, "voltage": 237.5, "current": 0.052,
                    "aenergy": {"total": 6.532, "by_minute": [45.199, 47.141, 88.397],
                                "minute_ts": 1_795_348_739},
                    "temperature": {"tC": 42.4, "tF": 108.3}}},
        }, [("shellyplus1pm-a8032ab", f"switch:0/{name}", value, unit) for name, value, unit in (
            ("apower", 8.9, "W"), ("voltage", 237.5, "V"), ("current", 0.052, "A"),
            ("aenergy/total", 6.532, "Wh"), ("temperature/tC", 42.4, "°C"))], NOW_US - 60_000_000),
        Document("shellyht-1/events/rpc", {
            "src": "shellyht-1", "dst": "shellyht-1/events", "method": "NotifyFullStatus", "params": {
                "ts": 1_795_348_800.0, "ble": {}, "cloud": {"connected": False},
                "devicepower:0": {"id": 0, "battery": {"V": 5.86, "percent": 80},
                                  "external": {"present": False}},
                "humidity:0": {"id": 0, "rh": 44.6}, "temperature:0": {"id": 0, "tC": 21.8, "tF": 71.2},
                "sys": {"mac": "A8032AB", "uptime": 1}, "wifi": {"sta_ip": "192.168.1.5", "rssi": -60}},
        }, [("shellyht-1", "devicepower:0/battery/V", 5.86, "V"),
            ("shellyht-1", "devicepower:0/battery/percent", 80, "%"),
            ("shellyht-1", "devicepower:0/external/present", False, ""),
            ("shellyht-1", "humidity:0/rh", 44.6, "%"), ("shellyht-1", "temperature:0/tC", 21.8, "°C")]),
        Document("shellyplus1-a8/events/rpc", {
            "src": "shellyplus1-a8", "dst": "user_1", "method": "NotifyEvent", "params": {
                "ts": 1_795_348_800.0, "events": [{"component": "sys", "event": "config_changed"}]},
        }, PASSED_OVER),
        Document("shellyplus1pm-a8/status/switch:0", {
            "id": 0, "source": "init", "output": False, "apower": 0.0, "voltage": 225.9, "current": 0.0,
            "aenergy": {"total": 11.679, "by_minute": [0.0, 0.0, 0.0], "minute_ts": 1_795_348_799},
            "temperature": {"tC": 53.3, "tF": 127.9},
        }, [("shellyplus1pm-a8", f"switch:0/{name}", value, unit) for name, value, unit in (
            ("output", False, ""), ("apower", 0.0, "W"), ("voltage", 225.9, "V"), ("current", 0.0, "A"),
            ("aenergy/total", 11.679, "Wh"), ("temperature/tC", 53.3, "°C"))]),
        Document("shellyplus1pm-a8/online", "true", PASSED_OVER),
        Document("shellypro3em-1/events/rpc", {
            "src": "shellypro3em-1", "method": "NotifyStatus", "params": {
                "ts": 1_795_348_800.0, "emdata:0": {"id": 0, "a_total_act_energy": 100.1, "total_act_ret": 2},
                "em:0": {"id": 0, "a_pf": 0.9, "n_current": None, "total_act_power": -2000}},
        }, [("shellypro3em-1", "emdata:0/a_total_act_energy", 100.1, "Wh"),
            ("shellypro3em-1", "emdata:0/total_act_ret", 2, "Wh"), ("shellypro3em-1", "em:0/a_pf", 0.9, ""),
            ("shellypro3em-1", "em:0/total_act_power", -2000, "W")]),
        Document("shellyblugw-1/events/rpc", {
            "src": "shellyblugw-1", "method": "NotifyStatus", "params": {
                "ts": 1_795_348_800.0, "bthomesensor:200": {"id": 200, "value": 21.5, "last_updated_ts": 1},
                "bthomedevice:200": {"id": 200, "rssi": -60, "battery": 90, "packet_id": 4}},
        }, [("shellyblugw-1", "bthomesensor:200", 21.5, ""),
            ("shellyblugw-1", "bthomedevice:200/rssi", -60, "dBm"),
            ("shellyblugw-1", "bthomedevice:200/battery", 90, "%")]),
        Document("shellyplus1-a8/events/rpc", {
            "src": "shellyplus1-a8", "method": "NotifyStatus", "params": {
                "ts": 1_795_348_800.0, "wifi": {"sta_ip": "1.2.3.4", "rssi": -50}},
        }, PASSED_OVER),
        Document("shellyplus1-a8/events/rpc", {  # its clock was never set
            "src": "shellyplus1-a8", "method": "NotifyStatus", "params": {
                "ts": 1.5, "switch:0": {"id": 0, "output": True}},
        }, DEAD),
        Document("shellyplus1pm-a8/status/cloud", {"connected": True}, PASSED_OVER),
    ],
    # chirpstack.io/docs: "Event types" (4.x), "MQTT", "Cayenne LPP"
    "chirpstack": [
        Document("application/3d1f/device/0101010101010101/event/up", {
            "deduplicationId": "3ac7e3c4", "time": "2026-11-22T11:59:15.775023242+00:00",
            "deviceInfo": {"tenantName": "ChirpStack", "applicationName": "greenhouse",
                           "deviceProfileName": "p", "deviceName": "bed-1", "devEui": "0101010101010101",
                           "tags": {}},
            "devAddr": "00189440", "adr": True, "dr": 1, "fCnt": 4, "fPort": 1, "confirmed": False,
            "data": "qg==", "object": {"temperatureSensor": {"1": 25.0}, "humiditySensor": {"1": 32.0},
                                       "soil_temperature": 11.5},
            "rxInfo": [{"gatewayId": "0016c001f153a14c", "rssi": -36, "snr": 10.5}],
            "txInfo": {"frequency": 867100000},
        }, [("0101010101010101", "temperatureSensor/1", 25.0, "°C"),
            ("0101010101010101", "humiditySensor/1", 32.0, "%"),
            ("0101010101010101", "soil_temperature", 11.5, "°C")], NOW_US - 44_224_977),
        Document("application/3d1f/device/0101010101010101/event/status", {
            "time": "2026-11-22T12:00:00Z", "deviceInfo": {"applicationName": "greenhouse"}, "margin": 10,
            "externalPowerSource": False, "batteryLevelUnavailable": False, "batteryLevel": 75.5,
        }, [("0101010101010101", "batteryLevel", 75.5, "%")]),
        # A level of 0 % that is none
        Document("application/3d1f/device/0101010101010101/event/status", {
            "time": "2026-11-22T12:00:00Z", "margin": 10, "externalPowerSource": False,
            "batteryLevelUnavailable": True, "batteryLevel": 0}, PASSED_OVER),
        Document("application/3d1f/device/0101010101010101/event/status", {
            "time": "2026-11-22T12:00:00Z", "margin": 10, "externalPowerSource": True,
            "batteryLevelUnavailable": False, "batteryLevel": 0}, PASSED_OVER),
        # Of version 3
        Document("application/7/device/a84041ffff000001/event/up", {
            "applicationID": "7", "applicationName": "old", "deviceName": "x", "devEUI": "qEBB//8AAAE=",
            "fCnt": 10, "fPort": 5, "data": "AQ==", "object": {"TempC_SHT": 21.5, "Hum_SHT": 50, "BatV": 3.1},
            "publishedAt": "2026-11-22T11:59:59Z",
        }, [("a84041ffff000001", "TempC_SHT", 21.5, "°C"), ("a84041ffff000001", "Hum_SHT", 50, "%"),
            ("a84041ffff000001", "BatV", 3.1, "V")], NOW_US - 1_000_000),
        Document("application/3d1f/device/0101010101010101/event/join", {"devAddr": "00189440"}, PASSED_OVER),
        Document("application/3d1f/device/0101010101010101/event/up", {
            "time": "2026-11-22T12:00:00Z", "devAddr": "00189440", "fCnt": 5, "data": "qg=="}, NOTHING),
    ],
    # thethingsindustries.com/docs: "Data Formats", "MQTT Server"
    "ttn": [
        Document("v3/app1@tenant/devices/dev1/up", {
            "end_device_ids": {"device_id": "dev1", "application_ids": {"application_id": "app1"},
                               "dev_eui": "0004A30B001C0530", "dev_addr": "00BCB929"},
            "received_at": "2026-11-22T11:59:50.000000001Z", "uplink_message": {
                "session_key_id": "AXA50fHUQtmX", "f_cnt": 1, "f_port": 1, "frm_payload": "gkHe",
                "decoded_payload": {"temperature": 1.5, "luminosity": 0.42, "relative_humidity_2": 40},
                "rx_metadata": [{"rssi": -35, "snr": 5}]},
        }, [("dev1", "temperature", 1.5, "°C"), ("dev1", "luminosity", 0.42, ""),
            ("dev1", "relative_humidity_2", 40, "%")], NOW_US - 10_000_000),
        Document("v3/app1@tenant/devices/dev1/up", {
            "received_at": "2026-11-22T12:00:00Z", "uplink_message": {
                "session_key_id": "A", "f_cnt": 2, "frm_payload": "AQI="}}, NOTHING),
        Document("v3/app1@tenant/devices/dev1/up", {
            "received_at": "2026-11-22T12:00:00Z", "uplink_message": {
                "session_key_id": "A", "f_cnt": 3, "decoded_payload": {"bytes": [1, 2]}}}, NOTHING),
        Document("v3/app1@tenant/devices/dev1/up", {
            "received_at": "2026-11-22T12:00:00Z", "uplink_message": {
                "session_key_id": "A", "f_cnt": 4, "decoded_payload": {"measurements": [
                    {"name": "h", "value": 40, "unit": "%"}, {"name": "t", "value": 20.5, "unit": "°C"}],
                    "gps_1": {"latitude": 51.5, "longitude": 10.5}}}}, [
            ("dev1", "measurements/h", 40, "%"), ("dev1", "measurements/t", 20.5, "°C"),
            ("dev1", "gps_1/latitude", 51.5, "°"), ("dev1", "gps_1/longitude", 10.5, "°")]),
        Document("v3/app1@tenant/devices/dev1/join", {"join_accept": {}}, PASSED_OVER),
        Document("v3/app1@tenant/devices/dev1/down/queued", {"downlink_queued": {}}, PASSED_OVER),
    ],
    # github.com/merbanan/rtl_433: README and docs/OPERATION.md, docs/DATA_FORMAT.md
    "rtl_433": [
        Document("rtl_433/pi/events", {
            "time": "2026-11-22 13:00:00", "model": "Prologue-TH", "subtype": 9, "id": 37, "channel": 1,
            "battery_ok": 1, "temperature_C": 17.4, "humidity": 62, "button": 0,
        }, [("Prologue-TH-1-37", "battery_ok", 1, ""), ("Prologue-TH-1-37", "temperature_C", 17.4, "°C"),
            ("Prologue-TH-1-37", "humidity", 62, "%"), ("Prologue-TH-1-37", "button", 0, "")]),
        Document("rtl_433/pi/events", {
            "time": "2026-11-22 13:00:00", "model": "Fineoffset-WH24", "id": 88, "temperature_C": 8.1,
            "wind_dir_deg": 150, "wind_avg_m_s": 1.54, "rain_mm": 45.6, "light_lux": 120.0, "mic": "CRC",
        }, [("Fineoffset-WH24-88", name, value, unit) for name, value, unit in (
            ("temperature_C", 8.1, "°C"), ("wind_dir_deg", 150, "°"), ("wind_avg_m_s", 1.54, "m/s"),
            ("rain_mm", 45.6, "mm"), ("light_lux", 120.0, "lx"))]),
        Document("rtl_433/pi/devices/Prologue-TH/1/37/temperature_C", "17.4", PASSED_OVER),
    ],
    # homieiot.github.io: specification 4.0.0 and 5.0
    "homie": [
        Document("homie/super-car/$homie", "4.0.0", PASSED_OVER),
        Document("homie/super-car/$state", "ready", PASSED_OVER),
        Document("homie/super-car/engine/$properties", "temperature,direction", PASSED_OVER),
        Document("homie/super-car/engine/temperature/$unit", "°C", PASSED_OVER),
        Document("homie/super-car/engine/temperature/$datatype", "float", PASSED_OVER),
        Document("homie/super-car/engine/temperature", "21.5", [
            ("super-car", "engine/temperature", 21.5, "°C")]),
        Document("homie/super-car/lights/power", "true", [("super-car", "lights/power", True, "")]),
        Document("homie/super-car/wheels/direction", "forward", [
            ("super-car", "wheels/direction", "forward", "")]),
        Document("homie/super-car/lights/power/set", "false", PASSED_OVER),
        Document("homie/5/heater/$description", {
            "homie": "5.0", "version": 7, "nodes": {"tank": {"name": "Tank", "properties": {
                "temperature": {"name": "T", "datatype": "float", "unit": "°F"}}}}}, PASSED_OVER),
        Document("homie/5/heater/$state", "ready", PASSED_OVER),
        Document("homie/5/heater/tank/temperature", "140.5", [("heater", "tank/temperature", 140.5, "°F")]),
        Document("homie/5/heater/tank/temperature/set", "150", PASSED_OVER),
        Document("homie/5/heater/tank/temperature/$target", "150", PASSED_OVER),
    ],
    # home-assistant.io/integrations/mqtt: "MQTT discovery", its examples of sensors with several values
    "home-assistant-discovery": [
        Document("homeassistant/sensor/sensorBedroomT/config", {
            "device_class": "temperature", "state_topic": "homeassistant/sensor/sensorBedroom/state",
            "unit_of_measurement": "°F", "value_template": "{{ value_json.temperature}}",
            "unique_id": "temp01ae", "device": {"identifiers": ["bedroom01ae"], "name": "Bedroom"},
        }, PASSED_OVER),
        Document("homeassistant/sensor/sensorBedroomH/config", {
            "dev_cla": "humidity", "~": "homeassistant/sensor/sensorBedroom", "stat_t": "~/state",
            "unit_of_meas": "%RH", "val_tpl": "{{ value_json['humidity'] | round(1) }}",
        }, PASSED_OVER),
        Document("homeassistant/sensor/sensorBedroom/state", {"temperature": 73.2, "humidity": 43.7}, [
            ("sensorBedroom", "temperature", 73.2, "°F"), ("sensorBedroom", "humidity", 43.7, "%RH")]),
        Document("homeassistant/device/0AFFD2/config", {
            "dev": {"ids": "ea334450945afc", "name": "Kitchen"}, "o": {"name": "bla2mqtt"}, "cmps": {
                "some_unique_component_id1": {
                    "p": "sensor", "device_class": "power", "unit_of_measurement": "kW",
                    "value_template": "{{ value_json.load.power }}", "unique_id": "p1"}},
            "state_topic": "homeassistant/sensor/kitchen/state", "qos": 2}, PASSED_OVER),
        Document("homeassistant/sensor/kitchen/state", {"load": {"power": 1.5}}, [
            ("kitchen", "load/power", 1.5, "kW")]),
        Document("homeassistant/binary_sensor/garden/config", {
            "name": None, "device_class": "motion", "state_topic": "homeassistant/binary_sensor/garden/state",
            "unique_id": "motion01ad"}, PASSED_OVER),
        Document("homeassistant/binary_sensor/garden/state", "ON", [
            ("garden", "binary_sensor", True, "")]),
        Document("homeassistant/sensor/garden/state", "7", [("garden", "value", 7, "")]),
        Document("homeassistant/sensor/attic/temp/state", "19.5", [("attic", "temp", 19.5, "")]),
        Document("homeassistant/sensor/cellar/temp/state", {"temperature": 9.5}, [
            ("cellar", "temp/temperature", 9.5, "°C")]),
        Document("homeassistant/binary_sensor/attic/temp/state", "OFF", [
            ("attic/temp", "binary_sensor", False, "")]),
        Document("homeassistant/sensor/attic/temp/availability", "online", PASSED_OVER),
    ],
    # docs.aws.amazon.com/iot: "Device Shadow service documents", "Device Shadow MQTT topics"
    "aws-shadow": [
        Document("$aws/things/thing-1/shadow/update/accepted", {
            "state": {"reported": {"temperature": 21.5, "color": {"r": 255, "g": 0}, "mode": None}},
            "metadata": {"reported": {"temperature": {"timestamp": 1_795_348_700}}}, "version": 10,
            "timestamp": 1_795_348_790}, [
            ("thing-1", "temperature", 21.5, ""), ("thing-1", "color/r", 255, ""),
            ("thing-1", "color/g", 0, "")], NOW_US - 10_000_000),
        Document("$aws/things/thing-1/shadow/name/pump/update/accepted", {
            "state": {"reported": {"rpm": 900}}, "version": 3, "timestamp": 1_795_348_790}, [
            ("thing-1", "pump/rpm", 900, "")], NOW_US - 10_000_000),
        Document("$aws/things/thing-1/shadow/update/accepted", {
            "state": {"desired": {"temperature": 22}}, "version": 11, "timestamp": 1_795_348_791},
            PASSED_OVER),
        Document("$aws/things/thing-1/shadow/update/accepted", {  # milliseconds for seconds
            "state": {"reported": {"temperature": 22}}, "timestamp": 1_795_348_791_000}, DEAD),
    ],
}  # fmt: skip
